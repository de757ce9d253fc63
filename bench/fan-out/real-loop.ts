import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createMqttBroker } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import { createMqttSubscriber } from '../../functions/adapters/mqtt/subscriber.ts'
import type { ReportSink, ReportSubscriber } from '../../functions/adapters/mqtt/batch-reports.ts'
import { createEmbeddedBroker } from '../../functions/adapters/node/embedded-broker.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { dispatchDirectives } from '../../functions/directive/dispatch.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import type { Broker } from '../../functions/ports/broker.ts'
import { createRollout } from '../../functions/rollout/create.ts'
import { tickRollouts } from '../../functions/rollout/tick.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import { fleet, startController, type Controller } from '../../test/support/controller.ts'
import { addRelease, operator } from '../../test/support/practice-fleet.ts'
import { millisecondsOf } from '../by-turns.ts'
import { enrolOnline } from '../enrol-online.ts'
import { startSites } from './start-sites.ts'

type BrokerSide = { broker: Broker; createSubscriber(sink: ReportSink): ReportSubscriber; close(): Promise<void> }

const patienceMs = 60_000
/** Time for what travels ahead of the start to arrive. */
const aheadMs = 5000

/** `messagesEach`: 1 for a rollout whose desired has travelled ahead, 2 for one that starts at once. */
export type RealLoop = { fanOut(messagesEach: 1 | 2): Promise<number>; controller: Controller; close(): Promise<void> }

/** A controller on a database file, its broker, and so many sites connected to it from another process. `mosquittoUrl` null: the embedded broker. */
export async function createRealLoop(siteNames: readonly string[], mosquittoUrl: string | null): Promise<RealLoop> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-bench-'))
  const controller = await startController({ databaseUrl: pathToFileURL(join(directory, 'controller.db')).href })
  await enrolOnline(controller, siteNames)
  const side = mosquittoUrl === null ? await embeddedSide(controller) : mosquittoSide(controller, mosquittoUrl)
  controller.deps.broker = side.broker
  controller.deps.clock = { nowMs: () => Date.now() }
  controller.deps.background = (work) => void work

  let recorded = 0
  let heard: () => void = () => undefined
  const subscriber = side.createSubscriber({
    async take(messages) {
      recorded += (await receiveReports(controller.context(), messages)).accepted
      heard()
    },
    gap: async () => undefined,
  })
  await subscriber.start()
  const allRecorded = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      recorded = 0
      const patience = setTimeout(() => reject(new Error(`${recorded} of ${count} reports came within ${patienceMs} ms`)), patienceMs)
      heard = () => {
        if (recorded < count) return
        clearTimeout(patience)
        resolve()
      }
    })

  const sites = startSites()
  const credentials = await Promise.all(siteNames.map((id) => side.broker.admit(id, 1)))
  const { keyid, pair } = controller.keys.fleet
  await sites.order({
    do: 'connect', as: 'agents', url: mosquittoUrl ?? credentials[0]!.url, fleet, sites: credentials.map(({ username, password }) => ({ id: username as never, password })),
    fleetKey: { keyid, publicKey: Buffer.from(pair.publicKey).toString('base64') }, ingestSecret: Buffer.from(controller.deps.keys.ingestSecret()).toString('base64'), answerBytes: 0, answerAfter: 1,
  })

  let round = 0
  async function fanOut(messagesEach: 1 | 2): Promise<number> {
    const release = await addRelease(controller, `1.0.${++round}`)
    const policy = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: siteNames.length }
    const startAtMs = Date.now() + aheadMs
    const ahead = messagesEach === 1 ? { staging: 'ahead' as const, startAt: new Date(startAtMs).toISOString() } : {}
    const request = RolloutRequest.parse({ name: `round ${round}`, target: { release: release.id }, selector: { all: true }, policy: { ...policy, ...ahead } })
    let id = ''
    const start = async (): Promise<void> => {
      id = (await createRollout(operator(controller), request)).id
      await dispatchDirectives(controller.context())
    }
    if (messagesEach === 1) {
      await start()
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, startAtMs - Date.now()) + 50))
    }
    const spentMs = await millisecondsOf(async () => {
      const all = allRecorded(siteNames.length)
      await (messagesEach === 1 ? tickRollouts(controller.context()) : start())
      await all
    })
    await expectStates(controller, id, 'running', siteNames.length)
    const ended = allRecorded(siteNames.length)
    await sites.order({ do: 'end-attempts' })
    await ended
    await expectStates(controller, id, 'succeeded', siteNames.length)
    return spentMs
  }
  return {
    fanOut,
    controller,
    async close() {
      await sites.stop()
      await subscriber.stop()
      await side.close()
      controller.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function embeddedSide(controller: Controller): Promise<BrokerSide> {
  const broker = await createEmbeddedBroker({ fleet, ingestSecret: controller.deps.keys.ingestSecret(), crypto: nodeCrypto, log: controller.deps.log, host: '127.0.0.1', port: 0, sitesUrl: null, incarnationOf: async () => 1 })
  return { broker, createSubscriber: broker.createSubscriber, close: broker.close }
}

function mosquittoSide(controller: Controller, url: string): BrokerSide {
  const { log } = controller.deps
  const broker = createMqttBroker({ url, fleet, ingestSecret: controller.deps.keys.ingestSecret(), crypto: nodeCrypto, ids: sortableIds, log, sitesUrl: url })
  return { broker, createSubscriber: (sink) => createMqttSubscriber({ url, fleet, clientId: `${fleet}-reports`, sink, log }), close: broker.close }
}

async function expectStates(controller: Controller, rollout: string, state: string, count: number): Promise<void> {
  const [result] = await controller.db.write([{ sql: 'SELECT count(*) AS n FROM deployment WHERE rollout_id = ? AND state = ?', args: [rollout, state] }])
  if (result!.rows[0]!.n !== count) throw new Error(`${result!.rows[0]!.n} of ${count} deployments are ${state}`)
}
