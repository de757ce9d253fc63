import { spawn } from 'node:child_process'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createEmbeddedBroker, type EmbeddedBroker } from '../../functions/adapters/node/embedded-broker.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { measurePackets } from '../../functions/adapters/node/measure-packets.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { createMqttBroker } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { memoryBroker } from '../../functions/adapters/memory/memory-broker.ts'
import { createReportBatcher, type ReportSink, type ReportSubscriber } from '../../functions/adapters/mqtt/batch-reports.ts'
import { createHttpSink } from '../../functions/adapters/mqtt/http-sink.ts'
import { createMqttSubscriber } from '../../functions/adapters/mqtt/subscriber.ts'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { fleet, runBrokerCases, runBrokerPortCases, until, type BrokerUnderTest } from './broker.cases.ts'
import { findMosquitto, makeMosquitto } from './broker.mosquitto.ts'

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
    dispose: () => broker.close(),
  }
}

runBrokerPortCases('the broker in memory', async () => ({ broker: memoryBroker(), dispose: async () => undefined }))
runBrokerCases('the embedded broker', makeEmbedded)

const real = needs('mosquitto')
const mosquitto = findMosquitto()
real.describe('a real broker', () => {
  runBrokerCases('mosquitto', () => makeMosquitto(mosquitto!, { perCall: false }))
  runBrokerPortCases('mosquitto, with a connection for each call', () => makeMosquitto(mosquitto!, { perCall: true }))
})

real.describe('the subscriber of a broker', () => {
  test('leaves unacknowledged what its sink did not take: the next one gets it', async () => {
    const made = await makeMosquitto(mosquitto!, { perCall: false })
    onTestFinished(() => made.dispose())
    const site = await nodeMqtt({ ...(await made.admit('north', 1)), keepAliveS: 30, will: { topic: 'murmur/v1/flock/sites/north/presence', payload: utf8('gone') } })
    let refused = 0
    const deaf = createMqttSubscriber({ ...made.access, fleet, clientId: 'reports', sink: async () => Promise.reject(new Error(`refusal ${++refused}`)), log })
    await deaf.start()
    const wanted = Array.from({ length: 50 }, (_, i) => `report ${i}`)
    for (const text of wanted) await site.publish('murmur/v1/flock/sites/north/report', utf8(text))
    await until(() => refused > 0)
    await deaf.stop()
    const heard: string[] = []
    const batches: number[] = []
    const next = createMqttSubscriber({
      ...made.access, fleet, clientId: 'reports', log,
      sink: async (batch) => {
        batches.push(batch.length)
        heard.push(...batch.map(({ payload }) => fromUtf8(payload)))
      },
    })
    await next.start()
    await until(() => heard.length >= wanted.length)
    expect(heard).toEqual(wanted)
    expect(batches.length).toBeLessThan(10)
    await next.stop()
    // taken and acknowledged: a third one gets nothing of it
    const late: string[] = []
    const third = createMqttSubscriber({ ...made.access, fleet, clientId: 'reports', log, sink: async (batch) => void late.push(...batch.map(({ payload }) => fromUtf8(payload))) })
    await third.start()
    await site.publish('murmur/v1/flock/sites/north/report', utf8('new'))
    await until(() => late.length > 0)
    expect(late).toEqual(['new'])
    await third.stop()
    await site.close()
  })
})

/** A controller's side of POST /v1/ingest that answers with `statuses` in turn and then with 200. */
async function serveIngest(statuses: number[]) {
  const taken: string[] = []
  const tokens = new Set<string | undefined>()
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const { messages } = JSON.parse(Buffer.concat(chunks).toString()) as { messages: { topic: string; payload: string }[] }
      tokens.add(request.headers.authorization)
      const status = statuses.shift() ?? 200
      if (status === 200) taken.push(...messages.map(({ payload }) => Buffer.from(payload, 'base64').toString()))
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ accepted: messages.length, refused: [] }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> => new Promise((resolve) => (server.closeAllConnections(), server.close(() => resolve())))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, taken, tokens, close }
}

describe('the way of reports over HTTP', () => {
  const messages = ['a', 'b', 'c', 'd', 'e'].map((text) => ({ topic: 'murmur/v1/flock/sites/north/report', payload: utf8(text) }))
  test('is an error, and so tried again, while the controller is away or does not let us in', async () => {
    const controller = await serveIngest([503, 401, 403, 429])
    const sink = createHttpSink({ controllerUrl: controller.url, token: 'mm_x', log })
    for (let i = 0; i < 4; i++) await expect(sink(messages)).rejects.toThrow('the controller answered')
    await sink(messages)
    expect(controller.taken).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect([...controller.tokens]).toEqual(['Bearer mm_x'])
    await controller.close()
    await expect(sink(messages)).rejects.toThrow()
  })
  test('is not barred by a message that the controller can never take', async () => {
    const controller = await serveIngest([400, 400, 400])
    const dropped: unknown[] = []
    const sink = createHttpSink({ controllerUrl: controller.url, token: 'mm_x', log: { write: (_, event, facts) => void (event === 'report.dropped' && dropped.push(facts)) } })
    await sink(messages)
    expect(controller.taken).toEqual(['b', 'c', 'd', 'e'])
    expect(dropped).toHaveLength(1)
    await controller.close()
  })
})

real.describe('the bridge', () => {
  test('carries reports from a broker to a controller, and what the controller did not take goes again', async () => {
    const made = await makeMosquitto(mosquitto!, { perCall: false })
    onTestFinished(() => made.dispose())
    const controller = await serveIngest([503])
    const program = join(import.meta.dirname, '../../infra/bridge/main.ts')
    const env = { MURMUR_CONTROLLER_URL: controller.url, MURMUR_TOKEN: 'mm_x', MURMUR_FLEET: fleet, MURMUR_BROKER_URL: made.access.url, MURMUR_BROKER_USERNAME: made.access.username, MURMUR_BROKER_PASSWORD: made.access.password }
    const bridge = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    bridge.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    await until(() => output.includes('subscriber.listening'))
    const site = await nodeMqtt({ ...(await made.admit('north', 1)), keepAliveS: 30, will: { topic: 'murmur/v1/flock/sites/north/presence', payload: utf8('gone') } })
    await site.publish('murmur/v1/flock/sites/north/report', utf8('hello'))
    await until(() => controller.taken.length > 0)
    expect(controller.taken).toEqual(['hello'])
    const ended = new Promise((resolve) => bridge.once('exit', resolve))
    bridge.kill('SIGTERM')
    expect(await ended).toBe(0)
    await site.close()
    await controller.close()
  })
})

describe('a broker that cannot be reached', () => {
  test('acknowledges nothing, and is no error: what is left over is sent again later', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`
    const broker = createMqttBroker({ url, sitesUrl: url, fleet, ingestSecret: new Uint8Array(32), crypto: nodeCrypto, ids: sortableIds, log })
    expect(await broker.publish([{ key: 'a', topic: 'murmur/v1/flock/roll-call', payload: utf8('x'), retain: false }])).toEqual(new Set())
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
    const batcher = createReportBatcher({ log, sink: async (batch) => void sizes.push({ count: batch.length, bytes: batch.reduce((sum, { payload }) => sum + payload.length, 0) }) })
    const payload = new Uint8Array(limits.mqttMessageBytesMax)
    const small = Array.from({ length: limits.ingestBatchMax + 1 }, () => batcher.add({ topic: 't', payload: utf8('x') }))
    const large = Array.from({ length: 40 }, () => batcher.add({ topic: 't', payload }))
    await Promise.all([...small, ...large])
    expect(Math.max(...sizes.map(({ count }) => count))).toBe(limits.ingestBatchMax)
    expect(Math.max(...sizes.map(({ bytes }) => bytes))).toBeLessThanOrEqual(limits.ingestBodyBytesMax / 2)
    expect(sizes.reduce((sum, { count }) => sum + count, 0)).toBe(small.length + large.length)
    await batcher.stop()
  })
  test('that were not taken when it stops are refused, so that nobody believes they were', async () => {
    const batcher = createReportBatcher({ log, sink: () => Promise.reject(new Error('away')) })
    const added = batcher.add({ topic: 't', payload: utf8('x') })
    const refused = expect(added).rejects.toThrow('stopped')
    await batcher.stop()
    await refused
    await expect(batcher.add({ topic: 't', payload: utf8('y') })).rejects.toThrow('stopped')
  })
})
