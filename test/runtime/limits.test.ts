import { afterAll, beforeAll, expect } from 'vitest'
import { contracts } from '../../protocol/http/contracts.ts'
import type { ReleaseRef, RolloutId, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import { fleet } from '../support/controller.ts'
import { blockMs, blockStart, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { needs } from '../support/needs.ts'
import { addRelease, addSites } from '../support/practice-fleet.ts'
import { RemoteSites } from '../support/remote-sites.ts'
import { sealedMessage } from '../support/sealed-message.ts'
import { measureInvocation, workerdOf, type Cost, type Resources } from './measure-invocation.ts'
import { startRig, type Rig } from './rig.ts'

const { describe, test } = needs('workerd', 'sqld')

/** Requests to others that one invocation may make: on the Free plan; and at first on the paid one, which by now allows more. */
const subrequestsMax = { free: 50, paid: 1000 }
/** What an isolate may have. V8 is held to less, so that buffers outside its heap have room too. */
const isolateBytesMax = 128 * 1024 * 1024
const heapMegabytesMax = 64
const answerBytesMax = 2 * 1024 * 1024

/** Just above 1,000, so that a directive and a grant for each are more than one batch of the outbox. */
const siteIds = Array.from({ length: 1024 }, (_, i) => `site-${String(i).padStart(4, '0')}`)
const groups = 48
const batch = limits.ingestBatchMax

describe('1,000 sites and one Worker, against the limits of the platform', () => {
  let rig: Rig
  let sites: RemoteSites
  let before: readonly Resources[]
  const releases: ReleaseRef[] = []
  const costs: Cost[] = []

  beforeAll(async () => {
    rig = await startRig({ heapMegabytesMax })
    before = workerdOf(rig)
    sites = new RemoteSites(rig.bridge, siteIds)
    await addSites(rig.db, siteIds.map((id, i) => ({ id, labels: { group: `g${i % groups}` } })))
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) releases.push(await addRelease(rig, version))
  })
  afterAll(async () => {
    console.log(costs.map(({ name, roundTrips, connections, published, cpuMs }) => `${name}: ${roundTrips} round trips, ${connections} connections, ${published} messages, ${cpuMs} ms of CPU`).join('\n'))
    await rig?.stop()
  })

  /** Does one thing as one invocation, and holds it against the limits: one connection where something is published, none elsewhere. */
  async function invoke<T>(name: string, work: () => Promise<T>, subrequests = subrequestsMax.free): Promise<T> {
    const { result, ...cost } = await measureInvocation(rig, name, work)
    costs.push(cost)
    expect(cost.roundTrips + cost.connections, name).toBeLessThanOrEqual(subrequests)
    expect(cost.connections, name).toBe(cost.published > 0 ? 1 : 0)
    return result
  }
  async function post(name: string, messages: Awaited<ReturnType<RemoteSites['hellos']>>): Promise<void> {
    for (let i = 0; i < messages.length; i += batch) {
      const lot = messages.slice(i, i + batch)
      expect(await invoke(`${lot.length} ${name}`, () => sites.post(lot))).toBeLessThan(1000)
    }
  }
  const tick = (name = 'tick', subrequests?: number): Promise<void> => invoke(name, () => rig.worker.cron(), subrequests)
  const view = (rollout: RolloutId) => rig.worker.client.call(contracts.getRollout, { params: { rollout } })
  const topicsOf = (kind: string) => rig.broker.messages.filter(({ topic }) => topic.endsWith(`/${kind}`)).map(({ topic }) => topic)
  /** Lets sites start and end until none holds a grant; the schedule comes in between. */
  async function comply(): Promise<void> {
    for (let grants = await sites.granted(); grants.length > 0; grants = await sites.granted()) {
      await post('starts', await sites.progress(grants, () => 'started'))
      await post('ends', await sites.progress(grants, () => 'succeeded'))
      await tick()
    }
  }

  test('1,000 hellos come in, and a tick with nothing to do publishes nothing', async () => {
    await post('hellos', await sites.hellos(siteIds))
    await tick('tick with nothing to do')
    expect(rig.broker.messages).toEqual([])
    const [online] = await rig.db.write([{ sql: "SELECT count(*) AS n FROM site WHERE presence = 'online'", args: [] }])
    expect(online!.rows[0]!.n).toBe(siteIds.length)
  })

  test('a batch of reports that were compressed as far as it goes is opened bit by bit (F72)', async () => {
    const zeros = Array.from({ length: limits.samplesPerBlockMax }, () => 0)
    const startMs = blockStart(Date.now()) - blockMs
    const nodes = Array.from({ length: limits.nodesPerSiteMax }, (_, i) => ({ ...steadyNode(`node-${i}`, { used: {} }), cpu: zeros, memory: zeros, received: zeros, sent: [] }))
    const [site] = siteIds as [SiteId]
    const say = (seq: number, block: MetricBlock) =>
      sealedMessage(rig.bridge.ingestSecret, { v: 1, fleet, site, incarnation: 1, bootId: '1'.padStart(32, '0') as never, seq, sentAtMs: startMs, body: { kind: 'metrics', block, alarms: [] } })
    const messages = await Promise.all(Array.from({ length: batch }, (_, i) => say(1000 + i, { startMs, stepS: 5, nodes })))
    const [opened, sent] = [batch * JSON.stringify(nodes).length, messages.reduce((sum, { payload }) => sum + payload.length, 0)]
    expect(opened / sent).toBeGreaterThan(20)
    await post('long blocks of metrics', messages)
    await post('ordinary block', [await say(2000, steadyBlock(startMs, steadyNode('alpha', { cpu: 250 }), steadyNode('beta')))])
    expect(await rig.worker.client.call(contracts.getSiteUsage, { params: { site }, query: {} })).toMatchObject({ nodes: [{ node: 'alpha' }, { node: 'beta' }] })
  })

  test('a rollout in waves reaches each of them with one grant, within the Free plan\'s 50 subrequests an invocation', async () => {
    const body = { name: 'in waves', target: { release: releases[0]!.id }, selector: { all: true as const }, policy: { maxParallel: 500 } }
    const { id } = await invoke('create a rollout in waves', () => rig.worker.client.call(contracts.createRollout, { body }))
    await comply()
    expect(await view(id)).toMatchObject({ state: 'completed', counts: { succeeded: siteIds.length } })
    for (const kind of ['grant', 'desired']) expect(new Set(topicsOf(kind)).size).toBe(topicsOf(kind).length)
    expect(topicsOf('grant')).toHaveLength(siteIds.length)
  })

  test('all at once go out in one invocation over one connection, and are called back in one', async () => {
    rig.broker.messages.length = 0
    const body = { name: 'all at once', target: { release: releases[1]!.id }, selector: { all: true as const }, policy: { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: siteIds.length } }
    const { id } = await invoke('create a rollout of all at once', () => rig.worker.client.call(contracts.createRollout, { body }))
    expect(rig.broker.messages).toHaveLength(2 * siteIds.length)
    await invoke('abort it', () => rig.worker.client.call(contracts.abortRollout, { params: { rollout: id }, body: { mode: 'safe-point', reason: 'a test' } }))
    expect(topicsOf('command')).toHaveLength(siteIds.length)
    await comply()
    expect(await view(id)).toMatchObject({ state: 'aborted', abort: { inFlight: 0 } })
  })

  test('what is read is bounded in size and in subrequests', async () => {
    const { client } = rig.worker
    const items = (await client.call(contracts.listRollouts, { query: {} })).items
    const reads: Record<string, () => Promise<unknown>> = {
      'show a rollout': () => view(items[0]!.id),
      'list rollouts': () => client.call(contracts.listRollouts, { query: { limit: limits.pageSizeMax } }),
      'list 500 sites': () => client.call(contracts.listSites, { query: { limit: limits.pageSizeMax } }),
      'list 500 deployments': () => client.call(contracts.listDeployments, { params: { rollout: items[0]!.id }, query: { limit: limits.pageSizeMax } }),
      'list 500 events': () => client.call(contracts.listEvents, { query: { limit: limits.pageSizeMax } }),
      'explain a site': () => client.call(contracts.explainSite, { params: { site: siteIds[7] as SiteId } }),
      'plan a rollout': () => client.call(contracts.planRollout, { body: { name: 'plan', target: { release: releases[2]!.id }, selector: { all: true } } }),
    }
    for (const [name, read] of Object.entries(reads)) expect(JSON.stringify(await invoke(name, read)).length, name).toBeLessThan(answerBytesMax)
  })

  test('as many rollouts as fall due in one tick start in it, within 1,000 subrequests', async () => {
    const later = new Date(Date.now() + 3_600_000).toISOString()
    const create = (group: string) => rig.worker.client.call(contracts.createRollout, { body: { name: `group ${group}`, target: { release: releases[2]!.id }, selector: { matchLabels: { group } }, policy: { startAt: later } } })
    // one after the other: sqld 0.24.1 now and then spins for ever when several connections begin to write at once
    for (let g = 0; g < groups; g++) await create(`g${g}`)
    await rig.db.write([{ sql: "UPDATE rollout SET start_at_ms = 1, wake_ms = 1 WHERE state = 'scheduled'", args: [] }])
    await tick(`tick with ${groups} rollouts due`, subrequestsMax.paid)
    for (let more = 0; more < 4; more++) await tick('tick after it', subrequestsMax.paid)
    const { rows } = (await rig.db.write([{ sql: "SELECT count(*) AS n FROM deployment d JOIN rollout r ON r.id = d.rollout_id WHERE r.name LIKE 'group %' AND d.state = 'granted'", args: [] }]))[0]!
    expect(rows[0]!.n).toBe(groups)
    const grants = await sites.granted()
    await invoke('a report of each of them', async () => sites.post(await sites.progress(grants, () => 'succeeded')), subrequestsMax.paid)
  })

  test('all of that fits into the memory of an isolate', () => {
    const after = workerdOf(rig)
    expect(after.map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid))
    const growth = after.map(({ residentBytesMax }, i) => residentBytesMax - before[i]!.residentBytes)
    console.log(`workerd's processes grew by ${growth.map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`).join(' and ')}, V8's heap being held to ${heapMegabytesMax} MB`)
    for (const bytes of growth) expect(bytes).toBeLessThan(isolateBytesMax)
  })
})
