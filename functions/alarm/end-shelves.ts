import { sql } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { heedAlarms } from './heed-alarms.ts'

const perRunMax = 200

/**
 * Takes alarms from the shelf whose time there is over: those that stand are announced again, and rollouts heed them. Reads about 15 rows and writes six for each, at most 200 a
 * run, and the gating alarms of their sites; one index entry when there is nothing to do. Harmless to repeat and to overlap.
 */
export async function endShelves(ctx: Ctx): Promise<{ taken: number }> {
  const over = await ctx.db.orm.all<{ site_id: string; alarm_id: string; entity: string }>(
    sql`SELECT site_id, alarm_id, entity FROM alarm INDEXED BY alarm_shelved WHERE shelved_until_ms <= ${ctx.nowMs} ORDER BY shelved_until_ms LIMIT ${perRunMax}`,
  )
  if (over.length === 0) return { taken: 0 }
  const [taken] = await ctx.db.write([
    {
      sql: `UPDATE alarm SET shelved_until_ms = NULL, shelved_by = NULL, shelved_reason = NULL, changed_ms = ?, changed_by = ?, note = '' FROM json_each(?) AS j
            WHERE alarm.site_id = j.value->>0 AND alarm.alarm_id = j.value->>1 AND alarm.entity = j.value->>2 AND alarm.shelved_until_ms <= ?`,
      args: [ctx.nowMs, ctx.actor.name, JSON.stringify(over.map(({ site_id, alarm_id, entity }) => [site_id, alarm_id, entity])), ctx.nowMs],
    },
    heedAlarms(ctx, { sql: 'SELECT value FROM json_each(?)', args: [JSON.stringify([...new Set(over.map(({ site_id }) => site_id))])] }),
  ])
  return { taken: taken!.rowsAffected }
}
