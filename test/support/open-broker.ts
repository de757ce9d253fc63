import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { Aedes } from 'aedes'
import { createWebSocketStream, WebSocketServer } from 'ws'

export type OpenBroker = {
  tcpUrl: string
  webSocketUrl: string
  /** Connections over WebSocket so far, and how many are open now. */
  readonly connections: { made: number; open: number }
  /** What was published by clients, in order; a test may empty it. */
  messages: { topic: string; payload: Uint8Array }[]
  close(): Promise<void>
}

/** A broker that speaks MQTT over TCP and WebSocket, counts, and lets everybody in: who may say what is tested elsewhere. */
export async function startOpenBroker(): Promise<OpenBroker> {
  const aedes = await Aedes.createBroker()
  const tcp = createServer(aedes.handle)
  const http = createHttpServer()
  const sockets = new WebSocketServer({ server: http })
  const connections = { made: 0, open: 0 }
  const messages: OpenBroker['messages'] = []
  sockets.on('connection', (socket, request) => {
    connections.made++
    connections.open++
    socket.once('close', () => connections.open--)
    aedes.handle(createWebSocketStream(socket), request)
  })
  aedes.on('publish', (packet, client) => {
    if (client !== null) messages.push({ topic: packet.topic, payload: new Uint8Array(Buffer.from(packet.payload)) })
  })
  const portOf = (server: typeof tcp | typeof http) => new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
  const [tcpPort, httpPort] = [await portOf(tcp), await portOf(http)]
  return {
    tcpUrl: `mqtt://127.0.0.1:${tcpPort}`, webSocketUrl: `ws://127.0.0.1:${httpPort}`, connections, messages,
    async close() {
      sockets.clients.forEach((socket) => socket.terminate())
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
      tcp.close()
      http.close()
    },
  }
}
