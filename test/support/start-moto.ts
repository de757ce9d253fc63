import { createServer, request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { freePort } from './free-port.ts'
import { Program, until } from './program.ts'

/** A request to a test's proxy: `read` gives its whole body, and `pass` hands it to moto and the answer back. */
export type ProxiedRequest = { request: IncomingMessage; response: ServerResponse; read(): Promise<Buffer>; pass(body: Buffer): void }

/** moto's server behind a proxy of the test, whose `serve` answers each request, passes it on, or lets it hang. Throws when moto does not come up. */
export async function startMoto(serve: (proxied: ProxiedRequest) => Promise<void>) {
  const port = await freePort()
  const moto = new Program('moto_server', 'moto_server', ['-H', '127.0.0.1', '-p', String(port)])
  moto.start()
  const motoUrl = `http://127.0.0.1:${port}`
  const server = createServer((request, response) => void serve({ request, response, read: () => readBody(request), pass: (body) => pass(motoUrl, request, response, body) }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await moto.end('SIGTERM')
  }
  try {
    await until('moto answers', async () => (await fetch(`${motoUrl}/moto-api/`)).ok, [moto])
  } catch (error) {
    await stop()
    throw error
  }
  return { motoUrl, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function pass(motoUrl: string, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const onward = sendRequest(`${motoUrl}${request.url}`, { method: request.method!, headers: request.headers }, (answer) => {
    response.writeHead(answer.statusCode!, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.destroy())
  onward.end(body)
}
