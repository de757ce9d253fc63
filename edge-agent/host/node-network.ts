import { connect } from 'node:net'
import type { Network } from './host.ts'
import { nodeHttp } from './node-http.ts'
import { createNodeMqtt, nodeMqtt } from './node-mqtt.ts'
import type { ProxySettings } from './node-proxy.ts'

function tcpConnects(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const answer = (up: boolean) => (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(up)
    }
    const timer = setTimeout(answer(false), timeoutMs)
    socket.once('connect', answer(true))
    socket.once('error', answer(false))
  })
}

/** The machine's own network: outbound connections only. `http` goes through what `useProxy` was told, `mqtt` through these. */
export const createNodeNetwork = (proxies: ProxySettings): Network => ({ http: nodeHttp, mqtt: createNodeMqtt(proxies), tcpConnects })

/** The same without a proxy. */
export const nodeNetwork: Network = { http: nodeHttp, mqtt: nodeMqtt, tcpConnects }
