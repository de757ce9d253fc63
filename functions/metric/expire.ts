import { sql } from 'drizzle-orm'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { dayOf } from './ring.ts'

const packsPerRun = 100

/**
 * Removes packs of days that are kept no longer. The object goes first: a row without its object is found again by the next run, an object
 * without its row never. Reads and writes at most 100 rows; one where nothing is that old.
 */
export async function expireMetrics(ctx: Ctx): Promise<void> {
  const rows = await ctx.db.orm.all<{ day: number; last_site: string; object: string }>(sql`
    SELECT day, last_site, object FROM metric_pack WHERE day < ${dayOf(ctx.nowMs - limits.metricKeptMs)} ORDER BY day, last_site LIMIT ${packsPerRun}`)
  if (rows.length === 0) return
  await ctx.store.remove(rows.map(({ object }) => object).filter((object) => object !== ''))
  await ctx.db.write([{ sql: 'DELETE FROM metric_pack WHERE (day, last_site) IN (SELECT value->>0, value->>1 FROM json_each(?))', args: [JSON.stringify(rows.map(({ day, last_site }) => [day, last_site]))] }])
}
