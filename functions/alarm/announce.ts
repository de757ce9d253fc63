import { eq, sql } from 'drizzle-orm'
import * as z from 'zod'
import { setting } from '../../db/schema/operations.ts'
import type { Ctx } from '../context.ts'
import { announceStatements } from './record-conditions.ts'

const placeKey = 'alarms-announced-to'
const perRunMax = 200

/**
 * The safety net of what is announced when a deployment ends or a node is unlocked. Looks at 200 silent alarms a run, by site, and goes on where the last run ended: reads
 * about four rows for each, and the gating alarms of their sites, and writes only what it announces, and its place where there are more than 200.
 */
export async function announceAlarms(ctx: Ctx): Promise<{ announced: number }> {
  const [place] = await ctx.db.orm.select({ value: setting.value }).from(setting).where(eq(setting.key, placeKey))
  const after = place === undefined ? '' : z.string().catch('').parse(place.value)
  const rows = await ctx.db.orm.all<{ site_id: string }>(sql`SELECT site_id FROM alarm INDEXED BY alarm_silenced WHERE silenced = 1 AND site_id > ${after} ORDER BY site_id LIMIT ${perRunMax}`)
  const next = rows.length === perRunMax ? rows.at(-1)!.site_id : ''
  const sites = [...new Set(rows.map((row) => row.site_id))]
  const moved = next === after ? [] : [{ sql: 'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', args: [placeKey, JSON.stringify(next)] }]
  if (sites.length + moved.length === 0) return { announced: 0 }
  const results = await ctx.db.write([...announceStatements(ctx, { sql: 'SELECT value FROM json_each(?)', args: [JSON.stringify(sites)] }), ...moved])
  return { announced: results[0]!.rowsAffected }
}
