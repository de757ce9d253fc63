import { connect } from 'node:net'
import type { Network } from './host.ts'
import { nodeHttp } from './node-http.ts'
import { nodeMqtt } from './node-mqtt.ts'

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

/** The machine's own network: outbound connections only. */
export const nodeNetwork: Network = { http: nodeHttp, mqtt: nodeMqtt, tcpConnects }
