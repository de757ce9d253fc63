import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { slotOf } from '../../functions/metric/ring.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { limits } from '../../protocol/limits.ts'
import { at } from '../../protocol/http/contract.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import { startController, type Controller } from '../support/controller.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { blockMs, blockStart, steadyBlock, steadyNode } from '../support/metric-blocks.ts'

let controller: Controller
let kiel: PracticeSite
let bonn: PracticeSite
let nowMs: number
beforeEach(async () => {
  controller = await startController()
  const sites = await enrolSites(controller, [{ id: 'kiel', labels: { region: 'north' } }, { id: 'bonn', labels: { region: 'west' } }])
  kiel = sites.get('kiel')!
  bonn = sites.get('bonn')!
  nowMs = controller.clock.nowMs()
})
afterEach(() => controller.close())

const report = (block: MetricBlock) => ({ kind: 'metrics' as const, block, alarms: [] })
const rowsOf = async (table: string): Promise<unknown> => JSON.stringify(await controller.db.orm.all(`SELECT * FROM ${table}`))
const usageOf = async (site: string, query: Record<string, string> = {}) => (await controller.call('getSiteUsage', { as: 'viewer', params: { site }, query })).body
const fleetUsage = async (query: Record<string, string> = {}) => (await controller.call('getFleetUsage', { as: 'viewer', query })).body
const capacity = async (query: Record<string, string> = {}) => (await controller.call('listCapacity', { as: 'viewer', query })).body
const at15 = (blocksAgo: number): number => blockStart(nowMs) - blocksAgo * blockMs
const known = (series: readonly (number | null)[]): number[] => series.filter((value) => value !== null)

describe('a block of metrics', () => {
  test('comes back as series of its nodes and of the site', async () => {
    const node = steadyNode('alpha', { cpu: 200, received: 1000, pods: 12, used: { '/': 300, '/var': 700 } })
    node.cpu[3] = 900
    node.memory[0] = null
    await kiel.say(report(steadyBlock(at15(2), node, steadyNode('beta', { cpu: 400, received: 3000, pods: 8 }))))
    const usage = await usageOf('kiel', { from: at(at15(2)), to: at(at15(1)), step: '1m' })
    expect([usage.stepMs, usage.times.length, usage.times[0]]).toEqual([60_000, 15, at(at15(2))])
    const [alpha, beta] = usage.nodes
    expect([alpha!.node, alpha!.cpu[3], alpha!.cpu[4], alpha!.memory[0], alpha!.memory[1], alpha!.memoryBytes]).toEqual(['alpha', 0.9, 0.2, null, 0.4, 8_000_000_000])
    expect(alpha!.filesystems.map(({ path, used }) => [path, used[14]])).toEqual([['/', 0.3], ['/var', 0.7]])
    expect([beta!.cpu[3], usage.cpu[3], usage.cpuMax[3], usage.receivedBytesPerS[0], usage.pods[0]]).toEqual([0.4, 0.65, 0.9, 4000, 20])
    const coarse = await usageOf('kiel', { from: at(at15(2)), to: at(at15(1)), step: '15m' })
    expect([coarse.times.length, coarse.nodes[0]!.cpu, coarse.cpuMax, coarse.nodes[0]!.memory]).toEqual([1, [0.2467], [0.9], [0.4]])
    const one = await usageOf('kiel', { from: at(at15(2)), to: at(at15(1)), node: 'beta' })
    expect([one.nodes.map(({ node: name }) => name), one.receivedBytesPerS[0]]).toEqual([['beta'], 3000])
  })

  test('that comes twice, late or out of order changes nothing twice (F49), and a newer saying of the same quarter takes its place', async () => {
    const first = await kiel.message(report(steadyBlock(at15(1), steadyNode('alpha', { cpu: 100 }))))
    const second = await kiel.message(report(steadyBlock(at15(1), steadyNode('alpha', { cpu: 500 }))))
    const say = (...messages: (typeof first)[]) => receiveReports(controller.context(), messages)
    await say(second, first)
    const before = [await rowsOf('metric_block'), await rowsOf('capacity')]
    for (const messages of [[first], [second, second], [first, second]]) await say(...messages)
    expect([await rowsOf('metric_block'), await rowsOf('capacity')]).toEqual(before)
    expect(known((await usageOf('kiel')).cpu)).toEqual([0.5, 0.5, 0.5])
  })

  test('is written over what lay in its slot two days before, and not the other way round', async () => {
    const oldMs = at15(limits.metricSlots - 1)
    await kiel.say(report(steadyBlock(oldMs, steadyNode('alpha', { cpu: 111 }))))
    controller.clock.advance(blockMs)
    const old = await kiel.message(report(steadyBlock(oldMs + blockMs, steadyNode('alpha', { cpu: 111 }))))
    controller.clock.advance(blockMs)
    expect(slotOf(oldMs)).toBe(slotOf(blockStart(controller.clock.nowMs()) - blockMs))
    await kiel.say(report(steadyBlock(blockStart(controller.clock.nowMs()) - blockMs, steadyNode('alpha', { cpu: 222 }))))
    await receiveReports(controller.context(), [old])
    const rows = await controller.db.orm.all<{ start_ms: number }>('SELECT start_ms FROM metric_block')
    expect(rows.map(({ start_ms }) => start_ms).sort()).toEqual([at15(-1)])
  })

  test.each([['of 1970', () => 0, 'too-old'], ['of 2100', () => Date.UTC(2100, 0, 1), 'ahead'], ['more than an hour ahead', () => at15(-5), 'ahead'], ['older than the ring', () => at15(limits.metricSlots), 'too-old']])(
    '%s is not kept, and is counted (F30)', async (_, startMs, reason) => {
      await receiveReports(controller.context(), [await kiel.message(report(steadyBlock(startMs(), steadyNode('alpha')))), await bonn.message(report(steadyBlock(at15(1), steadyNode('alpha'))))])
      expect(await controller.db.orm.all('SELECT site_id FROM metric_block')).toEqual([{ site_id: 'bonn' }])
      expect(controller.logs.filter(({ event }) => event === 'metrics.refused').map(({ facts }) => [facts['count'], (facts['first'] as { reason: string }).reason])).toEqual([[1, reason]])
    })

  test('with NaN, a thousand filesystems or a thousand nodes is refused, and other sites are not touched', async () => {
    const good = steadyNode('alpha')
    const bad = [
      { ...good, cpu: ['NaN'] }, { ...good, cpu: [1001] }, { ...good, cpu: Array.from({ length: 181 }, () => 1) }, { ...good, received: [1e300] }, { ...good, sent: [-1] },
      { ...good, filesystems: Array.from({ length: 1000 }, (_, i) => ({ path: `/${i}`, sizeBytes: 1, used: [] })) }, { ...good, filesystems: [{ path: 'x'.repeat(257), sizeBytes: 1, used: [] }] },
    ]
    const messages = await Promise.all(bad.map((node) => kiel.message(report(steadyBlock(at15(1), node as never)))))
    messages.push(await kiel.message(report(steadyBlock(at15(1), ...Array.from({ length: 65 }, (_, i) => steadyNode(`n${i}`))))))
    const received = await receiveReports(controller.context(), [...messages, await bonn.message(report(steadyBlock(at15(1), good)))])
    expect([received.accepted, received.refused.length, await controller.db.orm.all('SELECT site_id FROM metric_block')]).toEqual([1, 8, [{ site_id: 'bonn' }]])
  })

  test('over its size, of a fenced agent, or of a site that is gone is not kept', async () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ ...steadyNode(`n${i}`), received: Array.from({ length: 15 }, () => Number.MAX_SAFE_INTEGER), sent: Array.from({ length: 15 }, () => Number.MAX_SAFE_INTEGER) }))
    await kiel.say(report(steadyBlock(at15(1), ...many)))
    expect(controller.logs.find(({ event }) => event === 'metrics.refused')?.facts).toMatchObject({ first: { reason: 'too-long' } })
    bonn.incarnation = 2
    await bonn.say(report(steadyBlock(at15(1), steadyNode('alpha'))))
    expect(await controller.db.orm.all('SELECT site_id FROM metric_block')).toEqual([])
    bonn.incarnation = 1
    await bonn.say(report(steadyBlock(at15(1), steadyNode('alpha'))))
    await controller.call('removeSite', { params: { site: 'bonn' } })
    await bonn.say(report(steadyBlock(at15(0), steadyNode('alpha'))))
    expect([await rowsOf('metric_block'), await rowsOf('capacity')]).toEqual(['[]', '[]'])
  })

  test('keeps of two nodes or filesystems of one name the first, and nothing behind its end', async () => {
    const long = { ...steadyNode('alpha', { cpu: 100 }), cpu: Array.from({ length: 180 }, () => 100) }
    await kiel.say(report(steadyBlock(at15(4), { ...long, filesystems: [...long.filesystems, { path: '/', sizeBytes: 1, used: [999] }] }, steadyNode('alpha', { cpu: 900 }))))
    const usage = await usageOf('kiel', { from: at(at15(4)), to: at(at15(0)), step: '15m' })
    expect(usage.nodes).toHaveLength(1)
    expect([usage.nodes[0]!.cpu, usage.nodes[0]!.filesystems.map(({ used }) => used[0])]).toEqual([[0.1, null, null, null], [0.3]])
  })

  test('with a path full of quotes, markup and control characters comes back as it came', async () => {
    const path = `/'"<script>\u001b[31m\u0007${'\u{1f4be}'}`
    await kiel.say(report(steadyBlock(at15(1), steadyNode('alpha', { used: { [path]: 500 } }))))
    expect((await usageOf('kiel')).nodes[0]!.filesystems[0]!.path).toBe(path)
    expect((await capacity()).items[0]!.path).toBe(path)
  })
})

describe('a series', () => {
  test('is of the last day unless said otherwise, has at most 500 steps, and lengthens a step that asks for more', async () => {
    expect(await usageOf('kiel')).toMatchObject({ stepMs: 5 * 60_000, to: at(blockStart(nowMs)) })
    for (const [range, step] of [[3_600_000, '1s'], [2 * 86_400_000, '1m'], [400 * 86_400_000, '5m'], [400 * 86_400_000, '0s']] as const) {
      const { times, stepMs } = await usageOf('kiel', { from: at(nowMs - range), step })
      expect([times.length <= 501, times.length * stepMs >= range]).toEqual([true, true])
    }
  })

  test.each([{ from: '2026-06-01T12:00:00Z', to: '2026-06-01T12:00:00Z' }, { from: '2099-01-01T00:00:00Z' }, { from: 'yesterday' }, { step: 'often' }, { to: '1970-01-01T00:00:00Z' }])('is refused for the range %j, which is none', async (query) => {
    const answers = [await controller.call('getSiteUsage', { params: { site: 'kiel' }, query: query as never }), await controller.call('getFleetUsage', { query: query as never })]
    expect(answers.map(({ status }) => status)).toEqual([400, 400])
  })

  test('of a site that is not there is not found', async () => {
    expect((await controller.call('getSiteUsage', { params: { site: 'nowhere' } })).status).toBe(404)
  })
})

describe('the usage of the fleet', () => {
  beforeEach(async () => {
    for (const blocksAgo of [3, 2, 1]) {
      await kiel.say(report(steadyBlock(at15(blocksAgo), steadyNode('alpha', { cpu: 100, used: { '/': 300 } }), steadyNode('beta', { cpu: 400, used: { '/': 950 } }))))
      await bonn.say(report(steadyBlock(at15(blocksAgo), steadyNode('alpha', { cpu: 700, received: 9000, used: { '/': 100 } }))))
    }
  })
  const range = () => ({ from: at(at15(4)), to: at(at15(0)), step: '15m' })

  test('is the mean over nodes, the sum of what adds up, and the fullest of all filesystems', async () => {
    const { groups, times } = await fleetUsage(range())
    expect(times).toHaveLength(4)
    expect(groups).toEqual([{
      value: null, sites: 2, nodes: 3, cpu: [null, 0.4, 0.4, 0.4], cpuMax: [null, 0.7, 0.7, 0.7], memory: [null, 0.4, 0.4, 0.4],
      receivedBytesPerS: [null, 11_000, 11_000, 11_000], sentBytesPerS: [null, 1500, 1500, 1500], pods: [null, 30, 30, 30], fullestFilesystem: [null, 0.95, 0.95, 0.95],
    }])
  })

  test('is told apart by a label, and only of those that are selected', async () => {
    expect((await fleetUsage({ ...range(), groupBy: 'region' })).groups.map(({ value, sites, cpu }) => [value, sites, cpu[3]])).toEqual([['north', 1, 0.25], ['west', 1, 0.7]])
    expect((await fleetUsage({ ...range(), labelSelector: 'region=north' })).groups.map(({ nodes }) => nodes)).toEqual([2])
    expect((await fleetUsage({ ...range(), labelSelector: 'region=south' })).groups).toEqual([])
    expect((await fleetUsage({ ...range(), groupBy: 'tier' })).groups.map(({ value, sites }) => [value, sites])).toEqual([[null, 2]])
  })

  test.each<Record<string, string>>([{ groupBy: 'a"b' }, { groupBy: '' }, { labelSelector: 'a==b==c' }])('is refused for %j', async (query) => {
    expect((await controller.call('getFleetUsage', { query })).status).toBe(400)
  })
})

describe('capacity', () => {
  const full = (site: PracticeSite, blocksAgo: number, used: Record<string, number>) => site.say(report(steadyBlock(at15(blocksAgo), steadyNode('alpha', { used }))))

  test('is listed with the fullest at the top, page by page', async () => {
    await full(kiel, 1, { '/': 300, '/var': 600 })
    await full(bonn, 1, { '/': 910 })
    const first = await capacity({ limit: '1' })
    expect(first.items).toEqual([{ site: 'bonn', node: 'alpha', path: '/', used: 0.91, sizeBytes: 1_000_000_000, growthBytesPerDay: null, daysLeft: null, measuredAt: at(at15(0)) }])
    const second = await capacity({ limit: '1', cursor: first.next! })
    expect([second.items.map(({ site, path }) => [site, path]), second.next]).toEqual([[['kiel', '/var']], null])
    expect((await capacity({ order: 'days-left' })).items).toEqual([])
  })

  test('is written again only when the fullest filesystem moved by a percentage point, or is another for hours', async () => {
    await full(kiel, 40, { '/': 300, '/var': 299 })
    const measured = async () => (await capacity()).items.map(({ path, used, measuredAt }) => [path, used, measuredAt])
    const first = await measured()
    await full(kiel, 39, { '/': 309, '/var': 100 })
    await full(kiel, 38, { '/': 300, '/var': 301 })
    expect(await measured()).toEqual(first)
    await full(kiel, 37, { '/': 310 })
    expect(await measured()).toEqual([['/', 0.31, at(at15(36))]])
    await full(kiel, 39, { '/': 990 })
    expect(await measured()).toEqual([['/', 0.31, at(at15(36))]])
    await full(kiel, 1, { '/': 310, '/var': 311 })
    expect(await measured()).toEqual([['/var', 0.311, at(at15(0))]])
  })
})

describe('a live view', () => {
  beforeEach(async () => {
    kiel.protocol = { min: 1, max: 2 }
    await kiel.connect()
  })
  const start = (site = 'kiel') => controller.call('startLive', { as: 'viewer', params: { site } })
  const look = async () => (await controller.call('getLive', { as: 'viewer', params: { site: 'kiel' } })).body
  const sample = (n: number) => ({ kind: 'live' as const, sample: { atMs: nowMs + n, nodes: [steadyNode('alpha')] } })

  test('asks the site once for a minute, however many look, and again towards its end', async () => {
    expect(await look()).toEqual({ until: null, samples: [] })
    expect(await start()).toMatchObject({ status: 202, body: { until: at(nowMs + limits.liveForMs) } })
    await start()
    await controller.settle()
    const commands = await kiel.directives('command')
    expect(commands.map(({ body, expiresAtMs }) => ({ body, expiresAtMs }))).toEqual([{ body: { type: 'live', everyS: limits.liveEveryS, forS: 60 }, expiresAtMs: nowMs + limits.liveForMs }])
    controller.clock.advance(limits.liveForMs / 2)
    await start()
    await controller.settle()
    expect(await kiel.directives('command')).toHaveLength(2)
  })

  test('keeps the newest sixty samples while somebody looks, each once and in their order, and nothing afterwards', async () => {
    await kiel.say(sample(0))
    expect((await look()).samples).toEqual([])
    await start()
    const messages = []
    for (let n = 1; n <= 70; n++) messages.push(await kiel.message(sample(n)))
    await receiveReports(controller.context(), [messages[1]!, messages[0]!, messages[2]!])
    await receiveReports(controller.context(), [messages[0]!, messages[2]!])
    expect((await look()).samples.map(({ atMs }) => atMs - nowMs)).toEqual([1, 2, 3])
    await receiveReports(controller.context(), messages.slice(2))
    expect((await look()).samples.map(({ atMs }) => atMs - nowMs)).toEqual(Array.from({ length: 60 }, (_, i) => i + 11))
    controller.clock.advance(limits.liveForMs)
    await kiel.say(sample(71))
    expect((await look()).samples.at(-1)?.atMs).toBe(nowMs + 70)
    await start()
    expect((await look()).samples).toEqual([])
  })

  test('of a site that is offline, too old, or not there is refused', async () => {
    bonn.protocol = { min: 1, max: 1 }
    await bonn.connect()
    expect(await start('bonn')).toMatchObject({ status: 409, body: { reason: 'protocol' } })
    await kiel.disconnect()
    expect(await start()).toMatchObject({ status: 409, body: { reason: 'offline' } })
    expect((await start('nowhere')).status).toBe(404)
  })
})
