import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createEmbeddedBroker, type EmbeddedBroker } from '../../functions/adapters/node/embedded-broker.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { measurePackets } from '../../functions/adapters/node/measure-packets.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { createMqttBroker } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { memoryBroker } from '../../functions/adapters/memory/memory-broker.ts'
import { createReportBatcher, type ReportSink, type ReportSubscriber } from '../../functions/adapters/mqtt/batch-reports.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { fleet, runBrokerCases, runBrokerPortCases, sinkOf, until, type BrokerUnderTest } from './broker.cases.ts'
import { makeMosquitto } from './broker.mosquitto.ts'

const log = { write: () => undefined }

async function makeEmbedded(): Promise<BrokerUnderTest> {
  const incarnations = new Map<string, number>()
  const open = (port: number): Promise<EmbeddedBroker> =>
    createEmbeddedBroker({
      fleet, ingestSecret: new Uint8Array(32).fill(3), crypto: nodeCrypto, log, host: '127.0.0.1', port, sitesUrl: null,
      incarnationOf: async (site) => incarnations.get(site) ?? null,
    })
  let broker = await open(0)
  const listening: { sink: ReportSink; subscriber: ReportSubscriber }[] = []
  return {
    broker: { publish: (messages) => broker.publish(messages), admit: (site, incarnation) => broker.admit(site, incarnation), expel: (site) => broker.expel(site) },
    async admit(site, incarnation) {
      incarnations.set(site, incarnation)
      return broker.admit(site, incarnation)
    },
    async expel(site) {
      incarnations.delete(site)
      await broker.expel(site)
    },
    createSubscriber(sink) {
      const entry = { sink, subscriber: broker.createSubscriber(sink) }
      listening.push(entry)
      return { start: () => entry.subscriber.start(), stop: () => entry.subscriber.stop() }
    },
    async restart() {
      for (const { subscriber } of listening) await subscriber.stop()
      const port = Number(new URL(broker.url).port)
      await broker.close()
      broker = await open(port)
      for (const entry of listening) {
        entry.subscriber = broker.createSubscriber(entry.sink)
        await entry.subscriber.start()
      }
    },
    end: () => broker.close(),
    dispose: () => broker.close(),
  }
}

runBrokerPortCases('the broker in memory', async () => ({ broker: memoryBroker(), dispose: async () => undefined }))
runBrokerCases('the embedded broker', makeEmbedded)

const real = needs('mosquitto')
real.describe('a real broker', () => {
  runBrokerCases('mosquitto and its dynamic-security plugin, over a connection that is kept', () => makeMosquitto())
  runBrokerCases('mosquitto, over WebSocket and with a connection for each call', () => makeMosquitto({ perCall: true }))
})

describe('a broker that cannot be reached', () => {
  test('lets nobody in, and says so within its time', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`
    const broker = createMqttBroker({ url, sitesUrl: url, fleet, ingestSecret: new Uint8Array(32), crypto: nodeCrypto, ids: sortableIds, log, registrar: 'mosquitto' })
    for (const call of [broker.admit('north', 1), broker.expel('north')]) await expect(call).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('does not answer') })
    await broker.close()
  })
  test('acknowledges nothing, and is no error: what is left over is sent again later', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`
    const broker = createMqttBroker({ url, sitesUrl: url, fleet, ingestSecret: new Uint8Array(32), crypto: nodeCrypto, ids: sortableIds, log })
    expect(await broker.publish([{ key: 'a', topic: 'murmur/v1/flock/roll-call', payload: utf8('x'), retain: false }])).toEqual(new Set())
    expect(broker.fault!()).toMatch(/ECONNREFUSED/)
    await broker.close()
  })
  test('that takes messages and acknowledges none of them costs a bounded time', async () => {
    const mute = createServer((socket) => void socket.once('data', () => socket.write(Uint8Array.of(0x20, 0x02, 0x00, 0x00))).on('error', () => undefined))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const url = `mqtt://127.0.0.1:${(mute.address() as AddressInfo).port}`
    const broker = createMqttBroker({ url, sitesUrl: url, fleet, ingestSecret: new Uint8Array(32), crypto: nodeCrypto, ids: sortableIds, log, timeoutMs: 100 })
    expect(await broker.publish([{ key: 'a', topic: 'murmur/v1/flock/roll-call', payload: utf8('x'), retain: false }])).toEqual(new Set())
    await broker.close()
    await new Promise((resolve) => mute.close(resolve))
  })
})

describe('the measure of MQTT packets', () => {
  const publish = (payloadBytes: number): Uint8Array => {
    const head = [0x30]
    for (let left = payloadBytes; ; left = Math.floor(left / 128)) {
      head.push(left >= 128 ? (left % 128) | 0x80 : left)
      if (left < 128) break
    }
    return Uint8Array.from([...head, ...new Uint8Array(payloadBytes)])
  }
  test('passes packets up to the limit, however the stream is cut', () => {
    const stream = Uint8Array.from([...publish(5), ...publish(0), ...publish(1000), ...publish(200)])
    for (const cut of [1, 2, 3, 7, 500, stream.length]) {
      const isShortEnough = measurePackets(1000)
      for (let i = 0; i < stream.length; i += cut) expect(isShortEnough(stream.subarray(i, i + cut))).toBe(true)
    }
  })
  test('stops a packet by its header alone, and a length that never ends (F44)', () => {
    expect(measurePackets(1000)(publish(1001).subarray(0, 3))).toBe(false)
    expect(measurePackets(1000)(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x80))).toBe(false)
  })
})

describe('the batches of reports', () => {
  test('hold at most so many messages, and at most so many bytes', async () => {
    const sizes: { count: number; bytes: number }[] = []
    const batcher = createReportBatcher({ log, sink: sinkOf(async (batch) => void sizes.push({ count: batch.length, bytes: batch.reduce((sum, { payload }) => sum + payload.length, 0) })) })
    const payload = new Uint8Array(limits.mqttMessageBytesMax)
    const small = Array.from({ length: limits.ingestBatchMax + 1 }, () => batcher.add({ topic: 't', payload: utf8('x') }))
    const large = Array.from({ length: 40 }, () => batcher.add({ topic: 't', payload }))
    await Promise.all([...small, ...large])
    expect(Math.max(...sizes.map(({ count }) => count))).toBe(limits.ingestBatchMax)
    expect(Math.max(...sizes.map(({ bytes }) => bytes))).toBeLessThanOrEqual(limits.ingestBodyBytesMax / 2)
    expect(sizes.reduce((sum, { count }) => sum + count, 0)).toBe(small.length + large.length)
    await batcher.stop()
  })
  test('wait only until there is too much of them, in number or in bytes: what is refused then stays with whoever sent it', async () => {
    const batcher = createReportBatcher({ log, sink: sinkOf(() => new Promise(() => undefined)) })
    const refused: string[] = []
    const payload = new Uint8Array(limits.mqttMessageBytesMax)
    for (let i = 0; i < 1000; i++) batcher.add({ topic: 't', payload }).catch((error: Error) => refused.push(error.message))
    await until(() => refused.length > 0)
    expect(refused[0]).toContain('too many reports are waiting')
    expect((1000 - refused.length) * payload.length).toBeLessThan(100 * 1024 * 1024)
    void batcher.stop()
  })
  test('that were not taken when it stops are refused, so that nobody believes they were', async () => {
    const batcher = createReportBatcher({ log, sink: sinkOf(() => Promise.reject(new Error('away'))) })
    const added = batcher.add({ topic: 't', payload: utf8('x') })
    const refused = expect(added).rejects.toThrow('stopped')
    await batcher.stop()
    await refused
    await expect(batcher.add({ topic: 't', payload: utf8('y') })).rejects.toThrow('stopped')
  })
})
