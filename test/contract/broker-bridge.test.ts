import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { MqttConnection } from '../../edge-agent/host/host.ts'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { serveHttp } from '../../functions/platform/serve-http.ts'
import { DatabaseFault } from '../../db/database-fault.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { fleet as practice, startController } from '../support/controller.ts'
import { needs } from '../support/needs.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import { Program, until as untilIn } from '../support/program.ts'
import { serveIngest, type IngestServer } from '../support/serve-ingest.ts'
import { until } from './broker.cases.ts'
import { makeMosquitto, type MosquittoUnderTest } from './broker.mosquitto.ts'

const { test } = needs('mosquitto')
const program = join(import.meta.dirname, '../../infra/bridge/main.ts')

async function make(options: Parameters<typeof makeMosquitto>[0] = {}): Promise<MosquittoUnderTest> {
  const made = await makeMosquitto(options)
  onTestFinished(() => made.dispose())
  return made
}

async function serve(statuses: number[] = []): Promise<IngestServer> {
  const controller = await serveIngest(statuses)
  onTestFinished(() => controller.close())
  return controller
}

/** The bridge as an operator starts it, listening. */
async function startBridge(made: MosquittoUnderTest, controllerUrl: string, more: Record<string, string> = {}): Promise<Program> {
  const { url, username, password } = made.access
  const bridge = new Program('bridge', process.execPath, [program], {
    MURMUR_CONTROLLER_URL: controllerUrl, MURMUR_TOKEN: 'mm_x', MURMUR_FLEET: 'flock', MURMUR_BROKER_URL: url, MURMUR_BROKER_USERNAME: username!, MURMUR_BROKER_PASSWORD: password!, ...more,
  })
  onTestFinished(() => bridge.end())
  await begin(bridge)
  return bridge
}

async function begin(bridge: Program): Promise<void> {
  bridge.output = ''
  bridge.start()
  await listening(bridge)
}
const listening = (bridge: Program): Promise<void> => untilIn('the bridge listens', async () => bridge.output.includes('subscriber.listening'), [bridge], 20_000)

async function connectSite(made: MosquittoUnderTest, site: string, incarnation = 1): Promise<MqttConnection & { says(text: string): Promise<void> }> {
  const topic = `murmur/v1/flock/sites/${site}`
  const connection = await nodeMqtt({ ...(await made.admit(site, incarnation)), keepAliveS: 30, will: { topic: `${topic}/presence`, payload: utf8('gone') } })
  onTestFinished(() => connection.close())
  return Object.assign(connection, { says: (text: string) => connection.publish(`${topic}/report`, utf8(text)) })
}

const texts = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name} ${i}`)
const hasAll = (controller: IngestServer, wanted: readonly string[]): boolean => {
  const taken = new Set(controller.texts())
  return wanted.every((text) => taken.has(text))
}

test('the bridge tells of its start before anything else, and carries reports in batches of up to 500 or 200 ms', async () => {
  const made = await make()
  const controller = await serve([503])
  const bridge = await startBridge(made, controller.url)
  expect(controller.gaps()).toEqual(['started'])
  const site = await connectSite(made, 'north')
  const wanted = texts('report', 1200)
  await Promise.all(wanted.map(site.says))
  await until(() => hasAll(controller, wanted))
  expect(controller.texts()).toEqual(wanted)
  expect(Math.max(...controller.calls.map((call) => call.texts.length))).toBeLessThanOrEqual(500)
  expect(controller.calls.length).toBeLessThan(30)
  expect([...controller.tokens]).toEqual(['Bearer mm_x'])
  await bridge.end('SIGTERM')
})

test('a bridge that is killed while the controller is away loses nothing: the next one carries what was said meanwhile too (F50)', async () => {
  const made = await make()
  const controller = await serve()
  const bridge = await startBridge(made, controller.url)
  const site = await connectSite(made, 'north')
  await site.says('before')
  await until(() => controller.texts().length === 1)
  controller.statuses.push(...Array.from({ length: 1000 }, () => 503))
  const wanted = texts('away', 700)
  await Promise.all(wanted.slice(0, 600).map(site.says))
  await bridge.end('SIGKILL')
  await Promise.all(wanted.slice(600).map(site.says))
  controller.statuses.length = 0
  await begin(bridge)
  await until(() => hasAll(controller, wanted))
  expect(controller.gaps()).toEqual(['started', 'started'])
})

test('a controller that goes and comes back gets everything in its order', async () => {
  const made = await make()
  const controller = await serve()
  await startBridge(made, controller.url)
  const site = await connectSite(made, 'north')
  await controller.close()
  const wanted = texts('report', 300)
  for (const text of wanted) await site.says(text)
  await controller.open()
  await until(() => hasAll(controller, wanted))
  expect([...new Set(controller.texts())]).toEqual(wanted)
})

test('a broker that is killed is found again, with what it had kept for the bridge, and the controller is told of the gap (F43)', async () => {
  const made = await make({ persistence: true })
  const controller = await serve()
  const bridge = await startBridge(made, controller.url)
  const site = await connectSite(made, 'north')
  controller.statuses.push(...Array.from({ length: 10_000 }, () => 503))
  const wanted = texts('kept', 50)
  await Promise.all(wanted.map(site.says))
  await bridge.end('SIGKILL')
  await made.mosquitto.program.save()
  await made.mosquitto.restart('SIGKILL')
  controller.statuses.length = 0
  await begin(bridge)
  await until(() => hasAll(controller, wanted))
  bridge.output = ''
  await made.mosquitto.restart('SIGKILL')
  await listening(bridge)
  expect(controller.gaps()).toEqual(['started', 'started', 'reconnected'])
  await (await connectSite(made, 'north', 2)).says('after')
  await until(() => controller.texts().includes('after'))
})

test('two bridges of a group divide the reports; the share of one that is killed waits for it, and nothing is lost', async () => {
  const made = await make()
  const [one, two] = [await serve(), await serve()]
  const first = await startBridge(made, one.url, { MURMUR_BRIDGE_NAME: 'one' })
  const second = await startBridge(made, two.url, { MURMUR_BRIDGE_NAME: 'two' })
  const site = await connectSite(made, 'north')
  const wanted = texts('divided', 100)
  await Promise.all(wanted.map(site.says))
  await until(() => one.texts().length + two.texts().length >= wanted.length)
  expect([...one.texts(), ...two.texts()].sort()).toEqual(wanted.slice().sort())
  expect(Math.min(one.texts().length, two.texts().length)).toBeGreaterThan(0)
  await second.end('SIGKILL')
  const more = texts('more', 100)
  await Promise.all(more.map(site.says))
  await begin(second)
  await until(() => new Set([...one.texts(), ...two.texts()]).size === wanted.length + more.length)
  expect(one.gaps()).toEqual(['started'])
  expect(two.gaps()).toEqual(['started', 'started'])
  await first.end('SIGTERM')
})

test('bridges that are in no group get every report each', async () => {
  const made = await make()
  const [one, two] = [await serve(), await serve()]
  await startBridge(made, one.url, { MURMUR_BRIDGE_NAME: 'one', MURMUR_BRIDGE_GROUP: 'none' })
  await startBridge(made, two.url, { MURMUR_BRIDGE_NAME: 'two', MURMUR_BRIDGE_GROUP: 'none' })
  const wanted = texts('all', 20)
  const site = await connectSite(made, 'north')
  await Promise.all(wanted.map(site.says))
  await until(() => hasAll(one, wanted) && hasAll(two, wanted))
})

test('with a real controller: a broker that restarts makes its sites unknown until their hello, and a database at its quota keeps everything with the bridge', async () => {
  const made = await make({ fleet: practice })
  const controller = await startController()
  const { db } = controller.deps
  const http = await serveHttp('127.0.0.1', 0)
  http.use((request) => controller.app.fetch(request))
  onTestFinished(async () => {
    await http.close()
    controller.close()
  })
  const sites = await enrolSites(controller, [{ id: 'north', offline: true }, { id: 'south', offline: true }])
  const presence = async (): Promise<Record<string, string>> =>
    Object.fromEntries((await controller.call('listSites', { as: 'viewer' })).body.items.map((site: { id: string; presence: string }) => [site.id, site.presence]))
  const says = async (id: string): Promise<void> => {
    const site = sites.get(id)!
    site.connection++
    const { topic, payload } = await site.message(site.helloBody())
    const connection = await nodeMqtt({ ...(await made.admit(id, 1)), keepAliveS: 30, will: { topic: siteTopic(practice, site.id, 'presence'), payload: utf8('gone') } })
    onTestFinished(() => connection.close())
    await connection.publish(topic, payload)
  }
  const bridge = await startBridge(made, http.url, { MURMUR_FLEET: practice, MURMUR_TOKEN: controller.tokens.ingest })
  await Promise.all(['north', 'south'].map(says))
  await untilIn('both are online', async () => Object.values(await presence()).join() === 'online,online', [bridge])

  bridge.output = ''
  await made.mosquitto.restart('SIGKILL')
  await listening(bridge)
  expect(await presence()).toEqual({ north: 'unknown', south: 'unknown' })
  await says('north')
  await untilIn('north is online again', async () => (await presence())['north'] === 'online', [bridge])
  expect(await presence()).toEqual({ north: 'online', south: 'unknown' })

  const answers: number[] = []
  http.use(async (request) => {
    const response = await controller.app.fetch(request)
    if (new URL(request.url).pathname === contracts.ingest.path) answers.push(response.status)
    return response
  })
  controller.deps.db = { ...db, write: () => Promise.reject(new DatabaseFault('database-quota', new Error('BLOCKED'))) }
  await says('south')
  await untilIn('the controller refused it twice', async () => answers.filter((status) => status === 503).length >= 2, [bridge])
  controller.deps.db = db
  await untilIn('south is online', async () => (await presence())['south'] === 'online', [bridge])
  expect(bridge.output).not.toContain('report.dropped')
})
