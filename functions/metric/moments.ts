import { sql, type SQL } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import type { Ctx } from '../context.ts'
import { daySlotOf, slotOf, startOfDay } from './ring.ts'

/** What a group of sites said at one time: sums, and how many nodes the sums of shares are over. Shares in permille. */
export type Moment = {
  value: string | null
  timeMs: number
  sites: number
  nodes: number
  cpu: number | null
  cpuNodes: number | null
  cpuMax: number | null
  memory: number | null
  memoryNodes: number | null
  received: number | null
  sent: number | null
  pods: number | null
  full: number | null
}
/** Which sites, and what tells the groups of them apart; null: they are one group. */
export type Chosen = { where: SQL; value: SQL | null }

/** What the chosen sites said in the blocks that begin at these times, which lie in the ring. Reads their rows, and one summary for each site and time. */
export const readBlockMoments = (ctx: Pick<Ctx, 'db'>, chosen: Chosen, times: readonly number[]): Promise<Moment[]> =>
  readMoments(ctx, chosen, times, (timeMs) => `metric_block m WHERE m.slot = ${slotOf(timeMs)} AND m.start_ms = ${timeMs}`)

/** The same of days, which lie in the ring of days. */
export const readDayMoments = (ctx: Pick<Ctx, 'db'>, chosen: Chosen, days: readonly number[]): Promise<Moment[]> =>
  readMoments(ctx, chosen, days.map(startOfDay), (timeMs) => `metric_day m WHERE m.slot = ${daySlotOf(timeMs / startOfDay(1))} AND m.day = ${timeMs / startOfDay(1)}`)

/** One column for each time: to group by times, the database would look at each row three times more, and counts that. */
async function readMoments(ctx: Pick<Ctx, 'db'>, { where, value }: Chosen, times: readonly number[], from: (timeMs: number) => string): Promise<Moment[]> {
  if (times.length === 0) return []
  const summaries = times.map((timeMs, i) => sql`(SELECT m.summary FROM ${sql.raw(from(timeMs))} AND m.site_id = ${site.id}) AS ${sql.raw(`s${i}`)}`)
  const totals = times.map((_, i) => sql.raw(`${totalOf(`s${i}`)} AS t${i}`))
  const rows = await ctx.db.orm.all<{ value: string | null; [total: string]: string | null }>(sql`
    WITH said AS MATERIALIZED (SELECT ${value ?? sql`NULL`} AS value, ${sql.join(summaries, sql`, `)} FROM ${site} WHERE ${where})
    SELECT value, ${sql.join(totals, sql`, `)} FROM said ${value === null ? sql`` : sql`GROUP BY value`}`)
  return rows.flatMap((row) => times.map((timeMs, i) => momentOf(row.value, timeMs, JSON.parse(row[`t${i}`]!) as (number | null)[]))).filter(({ sites }) => sites > 0)
}

function totalOf(summary: string): string {
  const of = (name: string): string => `${summary}->>'${name}'`
  const weighted = (name: string): string => `sum((${of(name)}) * (${of('nodes')})), sum(iif(${of(name)} IS NULL, NULL, ${of('nodes')}))`
  return `json_array(count(${summary}), sum(${of('nodes')}), ${weighted('cpu')}, max(${of('cpuMax')}), ${weighted('memory')}, sum(${of('received')}), sum(${of('sent')}), sum(${of('pods')}), max(${of('full')}))`
}

function momentOf(value: string | null, timeMs: number, totals: readonly (number | null)[]): Moment {
  const [sites = 0, nodes = 0, cpu = null, cpuNodes = null, cpuMax = null, memory = null, memoryNodes = null, received = null, sent = null, pods = null, full = null] = totals
  return { value, timeMs, sites: sites ?? 0, nodes: nodes ?? 0, cpu, cpuNodes, cpuMax, memory, memoryNodes, received, sent, pods, full }
}
