import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'

export type ConnectProxy = { url: string; /** Where tunnels were opened to, in order. */ tunnels: string[]; refused: number; close(): Promise<void> }

/**
 * A proxy that only opens tunnels (CONNECT). `names` are known to it alone, each as a port of this machine; anything else
 * it does not know. With `user` it wants that name and password.
 */
export async function startConnectProxy(names: Record<string, number>, user?: string): Promise<ConnectProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => void response.writeHead(405).end())
  const proxy: ConnectProxy = {
    url: '', tunnels: [], refused: 0,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.on('connect', (request, client: Socket) => {
    client.on('error', () => client.destroy())
    const target = request.url ?? ''
    const port = names[target.slice(0, target.lastIndexOf(':'))]
    const allowed = user === undefined || request.headers['proxy-authorization'] === `Basic ${Buffer.from(user).toString('base64')}`
    if (!allowed || port === undefined) {
      proxy.refused++
      return void client.end(allowed ? 'HTTP/1.1 502 Unknown Host\r\n\r\n' : 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    }
    proxy.tunnels.push(target)
    const upstream = connect(port, '127.0.0.1', () => client.write('HTTP/1.1 200 Connection Established\r\n\r\n'))
    sockets.add(upstream)
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
    upstream.pipe(client).pipe(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.url = `http://${user === undefined ? '' : `${user.split(':').map(encodeURIComponent).join(':')}@`}127.0.0.1:${(server.address() as AddressInfo).port}`
  return proxy
}
