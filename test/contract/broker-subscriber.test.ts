import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { createHttpSink } from '../../functions/adapters/mqtt/http-sink.ts'
import type { GapCause } from '../../functions/adapters/mqtt/batch-reports.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { needs } from '../support/needs.ts'
import { serveIngest } from '../support/serve-ingest.ts'
import { sinkOf, until } from './broker.cases.ts'
import { makeMosquitto, type MosquittoUnderTest } from './broker.mosquitto.ts'

const log = { write: () => undefined }
const report = 'murmur/v1/flock/sites/north/report'
const will = { topic: 'murmur/v1/flock/sites/north/presence', payload: utf8('gone') }
const real = needs('mosquitto')

async function make(options: Parameters<typeof makeMosquitto>[0] = {}): Promise<MosquittoUnderTest> {
  const made = await makeMosquitto(options)
  onTestFinished(() => made.dispose())
  return made
}

/** Passes bytes on between its clients and a port, and counts those that came from there. */
async function countingProxy(port: number): Promise<{ port: number; bytes(): number; close(): void }> {
  let bytes = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connectTcp(port, '127.0.0.1')
    for (const each of [socket, upstream]) sockets.add(each.on('error', () => undefined))
    upstream.on('data', (chunk) => (bytes += chunk.length))
    upstream.pipe(socket)
    socket.pipe(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as AddressInfo).port, bytes: () => bytes, close }
}

real.describe('the subscriber of a broker', () => {
  test('leaves unacknowledged what its sink did not take: the next one gets it', async () => {
    const made = await make()
    const site = await nodeMqtt({ ...(await made.admit('north', 1)), keepAliveS: 30, will })
    let refused = 0
    const deaf = made.subscribe({ clientId: 'reports', sink: sinkOf(async () => Promise.reject(new Error(`refusal ${++refused}`))) })
    await deaf.start()
    const wanted = Array.from({ length: 50 }, (_, i) => `report ${i}`)
    for (const text of wanted) await site.publish(report, utf8(text))
    await until(() => refused > 0)
    await deaf.stop()
    const heard: string[] = []
    const batches: number[] = []
    const next = made.subscribe({
      clientId: 'reports',
      sink: sinkOf(async (batch) => {
        batches.push(batch.length)
        heard.push(...batch.map(({ payload }) => fromUtf8(payload)))
      }),
    })
    await next.start()
    await until(() => heard.length >= wanted.length)
    expect(heard).toEqual(wanted)
    expect(batches.length).toBeLessThan(10)
    await next.stop()
    // taken and acknowledged: a third one gets nothing of it
    const late: string[] = []
    const third = made.subscribe({ clientId: 'reports', sink: sinkOf(async (batch) => void late.push(...batch.map(({ payload }) => fromUtf8(payload)))) })
    await third.start()
    await site.publish(report, utf8('new'))
    await until(() => late.length > 0)
    expect(late).toEqual(['new'])
    await third.stop()
    await site.close()
  })

  test('holds a bounded amount when its sink takes nothing, stops reading, and goes on later', async () => {
    // a broker that sends as much as it has, acknowledged or not
    const made = await make({ configuration: ['max_inflight_messages 0', 'max_queued_messages 0'] })
    const proxy = await countingProxy(Number(new URL(made.access.url).port))
    onTestFinished(() => proxy.close())
    const heard: string[] = []
    let release: () => void = () => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    const slow = made.subscribe({
      url: `mqtt://127.0.0.1:${proxy.port}`, clientId: 'reports',
      sink: sinkOf(async (batch) => {
        await released
        heard.push(...batch.map(({ payload }) => fromUtf8(payload).slice(0, 12).trim()))
      }),
    })
    await slow.start()
    const site = await nodeMqtt({ ...(await made.admit('north', 1)), keepAliveS: 30, will })
    const wanted = Array.from({ length: 3500 }, (_, i) => `report ${i}`)
    await Promise.all(wanted.map((text) => site.publish(report, utf8(text.padEnd(32_768)))))
    let before = -1
    while (proxy.bytes() !== before) {
      before = proxy.bytes()
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(before).toBeGreaterThan(2_000_000)
    // 16 MB are held; what lies in the buffers of four sockets comes on top
    expect(before).toBeLessThan(64 * 1024 * 1024)
    expect(heard).toEqual([])
    release()
    await until(() => heard.length >= wanted.length)
    expect(heard).toEqual(wanted)
    await slow.stop()
    await site.close()
  })

  test('tells of a gap at its start and after each time it lost its broker, and asks for hellos only once the sink knows (F43)', async () => {
    const made = await make()
    const site = async (): Promise<{ topics: string[] }> => {
      const connection = await nodeMqtt({ ...(await made.admit('north', 1)), keepAliveS: 30, will })
      const topics: string[] = []
      connection.onMessage(({ topic }) => topics.push(topic))
      await connection.subscribe(['murmur/v1/flock/roll-call'])
      return { topics }
    }
    const gaps: GapCause[] = []
    let away = false
    const subscriber = made.subscribe({
      clientId: 'reports',
      sink: {
        take: async () => undefined,
        gap: async (cause) => {
          if (away) throw new Error('the controller is away')
          gaps.push(cause)
        },
      },
    })
    const first = await site()
    await subscriber.start()
    await until(() => first.topics.length === 1)
    expect(gaps).toEqual(['started'])
    away = true
    await made.restart()
    const second = await site()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(second.topics).toEqual([])
    away = false
    await until(() => second.topics.length === 1)
    expect(gaps).toEqual(['started', 'reconnected'])
    await subscriber.stop()
  })

  test('names what the broker refuses to it, and goes on trying', async () => {
    const made = await make()
    await made.admit('north', 1)
    const { username, password } = await made.admit('south', 1)
    const refusals: unknown[] = []
    const subscriber = made.subscribe({ clientId: 'south', username, password, sink: sinkOf(async () => undefined), log: { write: (_, event, facts) => void (event === 'subscriber.refused' && refusals.push(facts['detail'])) } })
    void subscriber.start()
    await until(() => refusals.length > 1)
    expect(refusals[0]).toBe('the broker refuses murmur/v1/flock/sites/+/report, murmur/v1/flock/sites/+/presence to this user')
    await subscriber.stop()
  })
})

describe('the way of reports over HTTP', () => {
  const messages = ['a', 'b', 'c', 'd', 'e'].map((text) => ({ topic: report, payload: utf8(text) }))
  test('is an error, and so tried again, while the controller is away or does not let us in', async () => {
    const controller = await serveIngest([503, 401, 403, 429, 503])
    const sink = createHttpSink({ controllerUrl: controller.url, token: 'mm_x', log })
    for (let i = 0; i < 4; i++) await expect(sink.take(messages)).rejects.toThrow('the controller answered')
    await expect(sink.gap('started')).rejects.toThrow('the controller answered 503')
    await sink.gap('reconnected')
    await sink.take(messages)
    expect(controller.calls).toEqual([{ gap: 'reconnected', texts: [] }, { gap: undefined, texts: ['a', 'b', 'c', 'd', 'e'] }])
    expect([...controller.tokens]).toEqual(['Bearer mm_x'])
    await controller.close()
    await expect(sink.take(messages)).rejects.toThrow()
  })
  test('goes on with a controller that is too old to know of gaps', async () => {
    const controller = await serveIngest([400])
    await createHttpSink({ controllerUrl: controller.url, token: 'mm_x', log }).gap('started')
    expect(controller.calls).toEqual([])
    await controller.close()
  })
  test('is not barred by a message that the controller can never take', async () => {
    const controller = await serveIngest([400, 400, 400])
    const dropped: unknown[] = []
    const sink = createHttpSink({ controllerUrl: controller.url, token: 'mm_x', log: { write: (_, event, facts) => void (event === 'report.dropped' && dropped.push(facts)) } })
    await sink.take(messages)
    expect(controller.texts()).toEqual(['b', 'c', 'd', 'e'])
    expect(dropped).toHaveLength(1)
    await controller.close()
  })
})
