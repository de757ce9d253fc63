import type { Ctx } from '../context.ts'

const perRunMax = 200

/**
 * Takes alarms from the shelf whose time there is over: those that stand are announced again. Reads two rows and writes about six for each, at most 200 a run, and one
 * index entry when there is nothing to do. Harmless to repeat and to overlap.
 */
export async function endShelves(ctx: Ctx): Promise<{ taken: number }> {
  const [taken] = await ctx.db.write([
    {
      sql: `UPDATE alarm SET shelved_until_ms = NULL, shelved_by = NULL, shelved_reason = NULL, changed_ms = ?, changed_by = ?, note = ''
            FROM (SELECT site_id, alarm_id, entity FROM alarm INDEXED BY alarm_shelved WHERE shelved_until_ms <= ? ORDER BY shelved_until_ms LIMIT ${perRunMax}) AS over
            WHERE alarm.site_id = over.site_id AND alarm.alarm_id = over.alarm_id AND alarm.entity = over.entity`,
      args: [ctx.nowMs, ctx.actor.name, ctx.nowMs],
    },
  ])
  return { taken: taken!.rowsAffected }
}
