import { createServer, type Socket } from 'node:net'
import { listen } from './listen.ts'

/** A server that answers each request with whatever `answer` writes to its socket, by no rule of HTTP; keeps what it was sent. */
export async function startRawReceiver(answer: (socket: Socket) => void, ends: (() => unknown)[]) {
  const received: string[] = []
  let connections = 0
  const server = createServer((socket) => {
    const at = connections++
    received[at] = ''
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      received[at] += data.toString()
      if (hasWhole(received[at]!)) answer(socket)
    })
  })
  const port = await listen(server, ends)
  return { port, url: `http://127.0.0.1:${port}/in`, received, connections: () => connections }
}

/** Whether a request is there with all of its body. */
function hasWhole(request: string): boolean {
  const [head = '', body] = request.split('\r\n\r\n')
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
  return body !== undefined && Buffer.byteLength(body) >= length
}
