import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { expireMetrics } from '../../functions/metric/expire.ts'
import { packMetrics } from '../../functions/metric/pack.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { limits } from '../../protocol/limits.ts'
import { at } from '../../protocol/http/contract.ts'
import { collectReleases } from '../../functions/release/collect.ts'
import { removeObjects } from '../../functions/release/remove-objects.ts'
import type { ObjectStore } from '../../functions/ports/object-store.ts'
import { startController, type Controller } from '../support/controller.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { arbitraryBlock, blockMs, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
let controller: Controller
let sites: Map<string, PracticeSite>
let good: ObjectStore
let midnightMs: number
beforeEach(async () => {
  controller = await startController()
  sites = await enrolSites(controller, ['aa', 'bb', 'cc'].map((id) => ({ id })))
  good = controller.deps.store
  midnightMs = Math.ceil(controller.clock.nowMs() / dayMs) * dayMs
  goTo(midnightMs)
})
afterEach(() => controller.close())

const goTo = (timeMs: number): void => controller.clock.advance(timeMs - controller.clock.nowMs())
/** Runs the job until there is nothing left for it, as the schedule does. */
async function pack(): Promise<void> {
  for (let i = 0; i < 10; i++) await packMetrics(controller.context())
}
const rows = <T>(sql: string): Promise<T[]> => controller.db.orm.all<T>(sql)
type PackRow = { day: number; last_site: string; object: string; stored_bytes: number }
/** A day before there was anything has a row too, that names none. */
const packs = () => rows<PackRow>(`SELECT * FROM metric_pack WHERE object <> '' ORDER BY day, last_site`)
const usageOf = async (site: string, fromMs: number, toMs: number, step = '1m') => (await controller.call('getSiteUsage', { params: { site }, query: { from: at(fromMs), to: at(toMs), step } })).body

/** A day of blocks of these sites, each said when it was over; ends at the midnight after it. */
async function liveADay(of: readonly string[], blockOf: (startMs: number, site: string) => ReturnType<typeof steadyBlock>): Promise<number> {
  const startMs = controller.clock.nowMs()
  const messages = []
  for (const site of of) for (let i = 0; i < 96; i++) messages.push(await sites.get(site)!.message({ kind: 'metrics', block: blockOf(startMs + i * blockMs, site), alarms: [] }))
  goTo(startMs + dayMs)
  for (let i = 0; i < messages.length; i += 200) await receiveReports(controller.context(), messages.slice(i, i + 200))
  return startMs
}
const steady = (startMs: number) => steadyBlock(startMs, steadyNode('alpha'))

describe('a day that is over', () => {
  test('is packed, and gives the same series from its pack as it gave from the ring', async () => {
    const next = seededFractions(7)
    const fromMs = await liveADay(['aa', 'bb'], (startMs) => arbitraryBlock(startMs, next))
    const query = [fromMs, fromMs + dayMs, '5m'] as const
    const before = [await usageOf('aa', ...query), await usageOf('bb', ...query)]
    await pack()
    expect(await packs()).toEqual([])
    goTo(fromMs + dayMs + 6 * hourMs)
    await pack()
    expect((await packs()).map(({ day, last_site }) => [day, last_site])).toEqual([[fromMs / dayMs, '~']])
    // the ring is written over, and only the packs are left
    goTo(fromMs + 10 * dayMs)
    await controller.db.write([{ sql: 'DELETE FROM metric_block', args: [] }])
    expect([await usageOf('aa', ...query), await usageOf('bb', ...query)]).toEqual(before)
    expect((await usageOf('cc', ...query)).nodes).toEqual([])
  })

  test('is packed once, however often the job runs, by two at the same time, and by one that was killed before', async () => {
    const fromMs = await liveADay(['aa', 'bb'], steady)
    goTo(fromMs + 30 * hourMs)
    controller.deps.store = { ...good, put: async (...put) => (await good.put(...put), Promise.reject(new Error('killed'))) }
    await expect(packMetrics(controller.context())).resolves.toBeUndefined()
    await expect(packMetrics(controller.context())).rejects.toThrow('killed')
    controller.deps.store = good
    await Promise.all([pack(), pack(), pack()])
    const first = await packs()
    await pack()
    expect(await packs()).toEqual(first)
    expect(first).toHaveLength(1)
    expect((await good.head(first.at(-1)!.object))?.size).toBe(first.at(-1)!.stored_bytes)
    expect(await rows('SELECT site_id FROM metric_day')).toEqual([{ site_id: 'aa' }, { site_id: 'bb' }])
  })

  test('that another run packs meanwhile leaves no object of the slower one behind', async () => {
    const fromMs = await liveADay(['aa'], steady)
    goTo(fromMs + 30 * hourMs)
    await packMetrics(controller.context())
    const put: string[] = []
    controller.deps.store = {
      ...good,
      put: async (key, ...rest) => {
        await good.put(key, ...rest)
        put.push(key)
        if (put.length > 1) return
        // what came late makes the other's pack another one
        const late = await sites.get('aa')!.message({ kind: 'metrics', block: steadyBlock(fromMs, steadyNode('alpha', { cpu: 999 })), alarms: [] })
        await receiveReports(controller.context(), [late])
        await packMetrics(controller.context())
      },
    }
    await packMetrics(controller.context())
    expect(put).toHaveLength(2)
    expect([await good.head(put[0]!), (await good.head(put[1]!)) === null]).toEqual([null, false])
    expect((await packs()).at(-1)!.object).toBe(put[1])
  })

  test('is not lost by a store that is away for a day (F56)', async () => {
    const fromMs = await liveADay(['aa', 'bb'], steady)
    controller.deps.store = { ...good, put: () => Promise.reject(new Error('away')) }
    await liveADay(['aa', 'bb'], steady)
    await packMetrics(controller.context()).catch(() => undefined)
    await expect(packMetrics(controller.context())).rejects.toThrow('away')
    goTo(fromMs + 2 * dayMs + 6 * hourMs)
    await expect(packMetrics(controller.context())).rejects.toThrow('away')
    controller.deps.store = good
    await pack()
    goTo(fromMs + 20 * dayMs)
    await controller.db.write([{ sql: 'DELETE FROM metric_block', args: [] }])
    const { cpu } = await usageOf('bb', fromMs, fromMs + 2 * dayMs, '15m')
    expect(cpu.filter((value) => value === 0.1)).toHaveLength(192)
  })

  test('goes into several packs where it is too much for one', async () => {
    const many = Array.from({ length: 230 }, (_, i) => `s${String(i).padStart(3, '0')}`)
    await enrolSites(controller, many.map((id) => ({ id, offline: true })))
    const block = JSON.stringify({ stepS: 60, nodes: [steadyNode('alpha')] })
    await controller.db.write([{
      sql: `INSERT INTO metric_block (site_id, slot, start_ms, received_ms, incarnation, seq, summary, body) SELECT value, ? / ${blockMs} % ${limits.metricSlots}, ?, 0, 1, 1, '{}', ? FROM json_each(?)`,
      args: [midnightMs, midnightMs, block, JSON.stringify(many)],
    }])
    goTo(midnightMs + 30 * hourMs)
    await pack()
    expect((await packs()).map(({ last_site }) => last_site)).toEqual(['s199', '~'])
    goTo(midnightMs + 10 * dayMs)
    await controller.db.write([{ sql: 'DELETE FROM metric_block', args: [] }])
    for (const id of ['s000', 's199', 's200', 's229']) expect((await usageOf(id, midnightMs, midnightMs + hourMs)).cpu[0]).toBe(0.1)
  })

  test('of a fleet that says nothing costs no row', async () => {
    goTo(midnightMs + 30 * hourMs)
    await pack()
    expect(await packs()).toEqual([])
  })
})

describe('a pack', () => {
  /** Three days, of which only packs are left. */
  async function threeDays(): Promise<number> {
    const fromMs = midnightMs
    for (let day = 0; day < 3; day++) {
      await liveADay(['aa', 'bb'], steady)
      goTo(controller.clock.nowMs() + 6 * hourMs)
      await pack()
      goTo(fromMs + (day + 1) * dayMs)
    }
    goTo(fromMs + 30 * dayMs)
    await controller.db.write([{ sql: 'DELETE FROM metric_block', args: [] }])
    return fromMs
  }

  test('that is lost or damaged leaves a hole, is said in the log, and the rest is answered', async () => {
    const fromMs = await threeDays()
    const [first, second] = await packs()
    const read = async () => (await usageOf('aa', fromMs, fromMs + 3 * dayMs, '1d')).cpu
    expect(await read()).toEqual([0.1, 0.1, 0.1])
    controller.deps.store = { ...good, get: async (key, ...rest) => (key === first!.object ? null : key === second!.object ? new Uint8Array(100).fill(0x41) : good.get(key, ...rest)) }
    expect(await read()).toEqual([null, null, 0.1])
    expect(controller.logs.filter(({ event }) => event === 'metrics.pack-unreadable').map(({ facts }) => facts['object'])).toEqual([first!.object, second!.object])
    controller.deps.store = { ...good, get: () => Promise.reject(new Error('away')) }
    expect(await read()).toEqual([null, null, null])
  })

  test('is read in two parts, whoever else is in it', async () => {
    const fromMs = await threeDays()
    const reads: unknown[] = []
    controller.deps.store = { ...good, get: async (key, bytesMax, range) => (reads.push(range?.length), good.get(key, bytesMax, range)) }
    await usageOf('bb', fromMs, fromMs + dayMs)
    expect(reads).toHaveLength(2)
    expect(reads.every((length) => typeof length === 'number' && length <= 24 * 1024)).toBe(true)
  })

  test('goes after its time, object before row, and neither a collection of releases nor an older day takes it', async () => {
    await threeDays()
    const before = await packs()
    await collectReleases(controller.context({ name: 'token:admin', role: 'admin' }), { dryRun: false, unusedFor: 0 } as never)
    await removeObjects(controller.context())
    await expireMetrics(controller.context())
    expect(await packs()).toEqual(before)
    for (const { object } of before) expect(await good.head(object)).not.toBeNull()
    goTo((before[0]!.day + 1) * dayMs + limits.metricKeptMs)
    controller.deps.store = { ...good, remove: () => Promise.reject(new Error('away')) }
    await expect(expireMetrics(controller.context())).rejects.toThrow('away')
    expect(await packs()).toEqual(before)
    controller.deps.store = good
    await expireMetrics(controller.context())
    expect(await packs()).toEqual(before.slice(1))
    expect(await good.head(before[0]!.object)).toBeNull()
  })

  test('of many days is asked for every so manieth day only', async () => {
    const fromMs = await threeDays()
    const [first] = await packs()
    await controller.db.write([{
      sql: `INSERT OR IGNORE INTO metric_pack SELECT day - n.value, last_site, object, stored_bytes, created_ms FROM metric_pack, json_each(?) n WHERE object = ?`,
      args: [JSON.stringify(Array.from({ length: 300 }, (_, i) => i + 1)), first!.object],
    }])
    let reads = 0
    controller.deps.store = { ...good, get: async (...get) => (reads++, good.get(...get)) }
    const usage = await usageOf('aa', fromMs - 250 * dayMs, fromMs + 3 * dayMs)
    expect(reads).toBeLessThanOrEqual(122)
    expect([usage.stepMs % dayMs, usage.times.length <= 61]).toEqual([0, true])
  })
})

describe('what a day leaves', () => {
  test('makes series of the fleet beyond the ring, and says how fast a filesystem fills', async () => {
    const fromMs = midnightMs
    for (let day = 0; day < 6; day++) {
      await liveADay(['aa'], (startMs) => steadyBlock(startMs, steadyNode('alpha', { cpu: 100 * (day + 1), used: { '/': 700 + 20 * day, '/var': 100 } })))
      goTo(controller.clock.nowMs() + 6 * hourMs)
      await pack()
      goTo(fromMs + (day + 1) * dayMs)
    }
    const { body } = await controller.call('getFleetUsage', { query: { from: at(fromMs - dayMs), to: at(controller.clock.nowMs()) } })
    expect(body.stepMs).toBe(dayMs)
    expect(body.groups.map(({ cpu, fullestFilesystem, sites: count }) => [cpu, fullestFilesystem, count])).toEqual([[[null, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [null, 0.7, 0.72, 0.74, 0.76, 0.78, 0.8], 1]])
    const [row] = (await controller.call('listCapacity', { query: { order: 'days-left' } })).body.items
    // 20 MB a day, and 200 MB are left
    expect(row).toMatchObject({ site: 'aa', path: '/', growthBytesPerDay: 20_000_000, daysLeft: 10 })
  })
})
