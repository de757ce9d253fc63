import type { AddressInfo, Server, Socket } from 'node:net'

/** Has a server listen on a free port of the loopback, and puts on `ends` what stops it with all its connections. */
export async function listen(server: Server, ends: (() => unknown)[]): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  ends.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
