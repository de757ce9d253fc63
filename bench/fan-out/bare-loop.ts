import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { connectAsync } from 'mqtt'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { payloadTypes, signEnvelope } from '../../protocol/envelope.ts'
import { millisecondsOf } from '../by-turns.ts'
import type { TestKey } from '../../test/support/controller.ts'
import { bareTopics } from './sites.ts'

/** The sender's end of a bare loop: what it publishes, and how it hears of an answer. */
export type BareSender = { url: string; publish(topic: string, payload: Uint8Array): void; onAnswer(handler: () => void): void; close(): Promise<void> }

/** Through a broker of its own process, over one MQTT connection. */
export async function bareSenderOver(url: string): Promise<BareSender> {
  const client = await connectAsync(url, { protocolVersion: 4, clean: true, keepalive: 0 })
  await client.subscribeAsync(bareTopics.allUp, { qos: 1 })
  return {
    url,
    publish: (topic, payload) => void client.publish(topic, Buffer.from(payload), { qos: 1 }),
    onAnswer: (handler) => void client.on('message', handler),
    close: () => client.endAsync(true),
  }
}

/** A plain aedes in this process, as the embedded broker is in the controller's. */
export async function bareAedes(): Promise<BareSender> {
  const aedes = await Aedes.createBroker({ concurrency: 1000 })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    aedes.handle(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publish: (topic, payload) => aedes.publish({ cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false }, () => undefined),
    onAnswer: (handler) => aedes.on('publish', (packet, client) => void (client !== null && packet.topic.endsWith('/up') && handler())),
    async close() {
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** Signs and sends so many messages to each site, and counts one answer from each; milliseconds from the first signature to the last answer. */
export function createBareLoop(sender: BareSender, key: TestKey, sites: readonly string[], bodyOf: (site: string) => string, messagesEach: number): () => Promise<number> {
  let answered: () => void = () => undefined
  sender.onAnswer(() => answered())
  return () =>
    millisecondsOf(async () => {
      let missing = sites.length
      const all = new Promise<void>((resolve) => {
        answered = () => void (--missing === 0 && resolve())
      })
      for (const site of sites) {
        for (let i = 0; i < messagesEach; i++) {
          const envelope = await signEnvelope(nodeCrypto, payloadTypes.directive, utf8(bodyOf(site)), key)
          sender.publish(bareTopics.down(site), utf8(JSON.stringify(envelope)))
        }
      }
      await all
    })
}
