import { createHmac } from 'node:crypto'
import mqtt from 'mqtt'
import type { FaultLoop } from './real-loop.ts'
import { startReceiver } from './receiver.ts'

/** Publish, subscribe, HMAC, POST, and nothing else. */
export async function startBareLoop(url: string): Promise<Pick<FaultLoop, 'raise' | 'arrival' | 'stop'>> {
  const receiver = await startReceiver()
  const [from, to] = await Promise.all(['from', 'to'].map((name) => mqtt.connectAsync(url, { protocolVersion: 4, clientId: `bare-${name}` })))
  await to!.subscribeAsync('bare', { qos: 1 })
  to!.on('message', (_, payload) => {
    const body = payload.toString()
    const signature = createHmac('sha256', 'a secret').update(`id.0.${body}`).digest('base64')
    void fetch(receiver.url, { method: 'POST', body, headers: { 'content-type': 'application/json', 'webhook-signature': `v1,${signature}` } }).then((answer) => answer.arrayBuffer())
  })
  return {
    raise: (_, entity) => from!.publishAsync('bare', JSON.stringify({ data: { entity } }), { qos: 1 }),
    arrival: receiver.arrival,
    async stop() {
      await Promise.all([from!.endAsync(true), to!.endAsync(true)])
      await receiver.stop()
    },
  }
}
