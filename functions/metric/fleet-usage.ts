import { and, ne, sql } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { QueryOf } from '../../protocol/http/contract.ts'
import type { FleetUsage, UsageGroup, usageContracts } from '../../protocol/http/usage.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { readSelector, selectorConditions } from '../site/select.ts'
import { endOf, layGrid, stepAt, viewGrid, type Grid } from './grid.ts'
import { readBlockMoments, readDayMoments, type Chosen, type Moment } from './moments.ts'
import { tenths } from './resample.ts'
import { dayOf, ringMs, startOfDay } from './ring.ts'

type Query = QueryOf<typeof usageContracts.getFleetUsage>
const dayMs = 86_400_000
const groupsMax = 100
const labelKey = /^[A-Za-z0-9._/-]+$/

/**
 * Series of many sites, out of the summaries of their blocks and never the blocks; of days, where the range goes further back than the ring. At most
 * `usageRowsMax` summaries are read whatever the fleet's size, by taking every so manieth block or day, and each site's row at most twice. Throws
 * `bad-request` for a selector that cannot be read, a range that is empty, and a label with too many values to group by.
 */
export async function getFleetUsage(ctx: Ctx, query: Query): Promise<FleetUsage> {
  const chosen = choose(query)
  const sites = await countSites(ctx, query, chosen)
  const { grid, moments } = layGrid(query, ctx.nowMs).fromMs < ctx.nowMs - ringMs ? await readLong(ctx, query, chosen, sites) : await readRecent(ctx, query, chosen, sites)
  const groups = [...Map.groupBy(moments, ({ value }) => value)].sort(([a], [b]) => (a === null ? -1 : b === null ? 1 : a < b ? -1 : 1))
  return { ...viewGrid(grid), groups: groups.map(([value, own]) => viewGroup(value, own, grid)) }
}

function choose(query: Query): Chosen {
  if (query.groupBy !== undefined && !labelKey.test(query.groupBy)) throw new FleetError('bad-request', `${JSON.stringify(query.groupBy)} is not the key of a label`, { errors: [{ path: 'query.groupBy', message: 'is not the key of a label' }] })
  return {
    where: and(ne(site.state, 'removed'), ...(query.labelSelector === undefined ? [] : selectorConditions(readSelector(query.labelSelector))))!,
    value: query.groupBy === undefined ? null : sql`${site.labels}->>${`$."${query.groupBy}"`}`,
  }
}

/** How many sites are meant; the whole fleet's are counted already. */
async function countSites(ctx: Ctx, query: Query, { where, value }: Chosen): Promise<number> {
  if (query.labelSelector === undefined && query.groupBy === undefined) {
    const [all] = await ctx.db.orm.all<{ n: number | null }>(sql`SELECT sum(n) AS n FROM tally WHERE kind = 'site' AND key <> 'removed'`)
    return Math.max(1, all?.n ?? 0)
  }
  const [counted] = await ctx.db.orm.all<{ n: number; groups: number }>(sql`SELECT count(*) AS n, count(DISTINCT ${value ?? sql`NULL`}) AS groups FROM ${site} WHERE ${where}`)
  if (counted!.groups > groupsMax) throw new FleetError('bad-request', `${query.groupBy} has ${counted!.groups} values; at most ${groupsMax} can be told apart in one answer`, { errors: [{ path: 'query.groupBy', message: 'has too many values' }] })
  return Math.max(1, counted!.n)
}

/** Every so manieth of `count` things, so that no more than `rowsMax` rows are read for so many sites. */
const every = (count: number, sites: number, rowsMax: number): number => Math.max(1, Math.ceil((count * sites) / rowsMax))

async function readRecent(ctx: Ctx, query: Query, chosen: Chosen, sites: number): Promise<{ grid: Grid; moments: Moment[] }> {
  const asked = layGrid(query, ctx.nowMs, limits.metricBlockMs)
  const everyMs = limits.metricBlockMs * every((endOf(asked) - asked.fromMs) / limits.metricBlockMs, sites, limits.usageRowsMax)
  const grid = layGrid(query, ctx.nowMs, everyMs)
  return { grid, moments: await readBlocks(ctx, chosen, grid.fromMs, endOf(grid), everyMs) }
}

/** Days that the ring has whole come from their blocks, those before from their summaries; each may take half of the rows. */
async function readLong(ctx: Ctx, query: Query, chosen: Chosen, sites: number): Promise<{ grid: Grid; moments: Moment[] }> {
  const rowsMax = limits.usageRowsMax / 2
  const asked = layGrid(query, ctx.nowMs, dayMs)
  const ringFromMs = startOfDay(dayOf(ctx.nowMs - ringMs) + 1)
  const daysKept = Math.min((endOf(asked) - asked.fromMs) / dayMs, limits.metricDays)
  const everyDays = every(daysKept, sites, rowsMax)
  const grid = layGrid(query, ctx.nowMs, everyDays * dayMs)
  const everyMs = limits.metricBlockMs * every((ctx.nowMs - ringFromMs) / limits.metricBlockMs, sites, rowsMax)
  const [days, blocks] = await Promise.all([readDays(ctx, chosen, grid.fromMs, ringFromMs, everyDays), readBlocks(ctx, chosen, ringFromMs, endOf(grid), everyMs)])
  return { grid, moments: [...days, ...blocks] }
}

const timesBetween = (fromMs: number, toMs: number, everyMs: number): number[] => {
  const firstMs = Math.ceil(fromMs / everyMs) * everyMs
  return Array.from({ length: Math.max(0, Math.ceil((toMs - firstMs) / everyMs)) }, (_, i) => firstMs + i * everyMs)
}

async function readBlocks(ctx: Ctx, chosen: Chosen, fromMs: number, toMs: number, everyMs: number): Promise<Moment[]> {
  const times = timesBetween(Math.max(fromMs, ctx.nowMs - ringMs), Math.min(toMs, ctx.nowMs), everyMs)
  return readBlockMoments(ctx, chosen, times)
}

async function readDays(ctx: Ctx, chosen: Chosen, fromMs: number, toMs: number, everyDays: number): Promise<Moment[]> {
  const first = Math.max(dayOf(fromMs), dayOf(ctx.nowMs) - limits.metricDays + 1)
  const days = timesBetween(startOfDay(first), toMs, everyDays * dayMs).map(dayOf)
  return readDayMoments(ctx, chosen, days)
}

function viewGroup(value: string | null, moments: readonly Moment[], grid: Grid): UsageGroup {
  const steps = Array.from({ length: grid.count }, (): Moment[] => [])
  for (const moment of moments) {
    const step = stepAt(grid, moment.timeMs)
    if (step !== null) steps[step]!.push(moment)
  }
  const numbers = (own: readonly Moment[], of: (moment: Moment) => number | null): number[] => own.map(of).filter((each) => each !== null)
  const series = (of: (moment: Moment) => number | null, joined: (values: number[]) => number) => steps.map((own) => (numbers(own, of).length === 0 ? null : joined(numbers(own, of))))
  const sum = (values: number[]): number => values.reduce((total, each) => total + each, 0)
  const mean = (values: number[]): number => sum(values) / values.length
  const most = (values: number[]): number => Math.max(...values)
  const share = (sums: (moment: Moment) => number | null, over: (moment: Moment) => number | null) =>
    steps.map((own) => (sum(numbers(own, over)) === 0 ? null : Math.round((sum(numbers(own, sums)) / sum(numbers(own, over))) * 10) / 10_000))
  return {
    value, sites: Math.max(...moments.map(({ sites }) => sites)), nodes: Math.max(...moments.map((moment) => moment.nodes)),
    cpu: share((moment) => moment.cpu, (moment) => moment.cpuNodes), cpuMax: series((moment) => moment.cpuMax, (values) => most(values) / 1000),
    memory: share((moment) => moment.memory, (moment) => moment.memoryNodes),
    receivedBytesPerS: series(({ received }) => received, (values) => Math.round(mean(values))), sentBytesPerS: series(({ sent }) => sent, (values) => Math.round(mean(values))),
    pods: series(({ pods }) => pods, (values) => tenths(mean(values))), fullestFilesystem: series(({ full }) => full, (values) => most(values) / 1000),
  }
}
