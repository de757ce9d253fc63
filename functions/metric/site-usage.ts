import { sql } from 'drizzle-orm'
import type { QueryOf } from '../../protocol/http/contract.ts'
import type { NodeUsage, SiteUsage, usageContracts } from '../../protocol/http/usage.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import type { Ctx } from '../context.ts'
import { loadSite } from '../site/load.ts'
import { endOf, layGrid, viewGrid, type Grid } from './grid.ts'
import { readPackedDays } from './read-packs.ts'
import { createResampler, tenths } from './resample.ts'
import { dayOf, ringMs, startOfDay } from './ring.ts'

/** Days that one call reads from the object store; a longer range takes every so manieth day, one for each step. */
const packedDaysMax = 60
const dayMs = 86_400_000

/**
 * A site's series, from its ring and, for what is older, from the packs in the object store. Reads the site, at most its ring's rows, one row
 * and two parts of an object for each packed day, and never more than 60 days: a range that is longer gets steps of as many days as are left out.
 */
export async function getSiteUsage(ctx: Ctx, id: string, query: QueryOf<typeof usageContracts.getSiteUsage>): Promise<SiteUsage> {
  const row = await loadSite(ctx, id)
  const { grid, days } = plan(query, ctx.nowMs)
  const ring = await readRing(ctx, id, grid)
  const inRing = new Set(ring.map(({ startMs }) => startMs))
  const resampler = createResampler(grid)
  const add = (block: MetricBlock): void => resampler.add(query.node === undefined ? block : { ...block, nodes: block.nodes.filter(({ node }) => node === query.node) })
  // one day after the other: what a day says is in the steps before the next is held
  for await (const blocks of readPackedDays(ctx, row.id, days)) for (const block of blocks) if (!inRing.has(block.startMs)) add(block)
  for (const block of ring) add(block)
  const nodes = resampler.nodes()
  return { site: row.id as SiteId, ...viewGrid(grid), ...ofSite(nodes, grid.count), nodes }
}

/** The steps of an answer, and the days that the packs are asked for: those of which the ring may have lost something. */
function plan(query: QueryOf<typeof usageContracts.getSiteUsage>, nowMs: number): { grid: Grid; days: number[] } {
  const packedIn = (grid: Grid): number[] => {
    const first = dayOf(grid.fromMs)
    const last = Math.min(dayOf(endOf(grid) - 1), dayOf(nowMs - ringMs))
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i)
  }
  const grid = layGrid(query, nowMs)
  const days = packedIn(grid)
  if (days.length <= packedDaysMax) return { grid, days }
  const everyDays = Math.ceil(days.length / packedDaysMax)
  const coarse = layGrid(query, nowMs, everyDays * dayMs)
  return { grid: coarse, days: packedIn(coarse).filter((day) => (startOfDay(day) - coarse.fromMs) % (everyDays * dayMs) === 0) }
}

async function readRing(ctx: Ctx, id: string, grid: Grid): Promise<MetricBlock[]> {
  const rows = await ctx.db.orm.all<{ start_ms: number; body: string }>(sql`SELECT start_ms, body FROM metric_block WHERE site_id = ${id} AND start_ms > ${grid.fromMs - limits.metricBlockMs} AND start_ms < ${endOf(grid)} ORDER BY start_ms`)
  return rows.map(({ start_ms, body }) => ({ startMs: start_ms, ...(JSON.parse(body) as Omit<MetricBlock, 'startMs'>) }))
}

/** What the nodes have in common: means of shares, sums of what adds up. */
function ofSite(nodes: readonly NodeUsage[], count: number): Pick<SiteUsage, 'cpu' | 'cpuMax' | 'memory' | 'receivedBytesPerS' | 'sentBytesPerS' | 'pods'> {
  const join = (series: (node: NodeUsage) => readonly (number | null)[], joined: (values: number[]) => number): (number | null)[] =>
    Array.from({ length: count }, (_, i) => {
      const values = nodes.map((node) => series(node)[i] ?? null).filter((value) => value !== null)
      return values.length === 0 ? null : joined(values)
    })
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)
  const mean = (values: number[]): number => Math.round((sum(values) / values.length) * 10_000) / 10_000
  return {
    cpu: join(({ cpu }) => cpu, mean), cpuMax: join(({ cpuMax }) => cpuMax, (values) => Math.max(...values)), memory: join(({ memory }) => memory, mean),
    receivedBytesPerS: join(({ receivedBytesPerS }) => receivedBytesPerS, sum), sentBytesPerS: join(({ sentBytesPerS }) => sentBytesPerS, sum), pods: join(({ pods }) => pods, (values) => tenths(sum(values))),
  }
}
