import { connect, type AddressInfo, type Socket } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'

/** TLS in front of a port of this machine that speaks none. */
export async function startTlsFront(port: number, options: TlsOptions): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer(options, (secured) => {
    const upstream = connect(port, '127.0.0.1')
    for (const [socket, other] of [[secured, upstream], [upstream, secured]] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
    secured.pipe(upstream).pipe(secured)
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
