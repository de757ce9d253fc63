import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'

const perRunMax = 200

/**
 * Alarms that came and went too often and have had a whole window to calm down: those whose end was withheld are cleared, and the others counted anew. Where a site sends
 * snapshots, the next one says whether they still stand. Reads two rows and writes about ten for each, at most 200 a run; one index entry when nothing flaps.
 */
export async function settleAlarms(ctx: Ctx): Promise<{ settled: number }> {
  const calm = `FROM (SELECT site_id, alarm_id, entity FROM alarm INDEXED BY alarm_flapping WHERE flaps > ${limits.alarmFlapsMax} AND cleared_ms IS NULL AND flaps_since_ms <= ? ORDER BY flaps_since_ms LIMIT ${perRunMax}) AS calm
    WHERE alarm.site_id = calm.site_id AND alarm.alarm_id = calm.alarm_id AND alarm.entity = calm.entity`
  const beforeMs = ctx.nowMs - limits.alarmFlapWindowMs
  const [cleared, counted] = await ctx.db.write([
    {
      sql: `UPDATE alarm SET cleared_ms = ?, silenced = 0, withheld = 0, flaps = 0, changed_ms = ?, changed_by = ?, note = 'it has been quiet again' ${calm} AND alarm.withheld = 1`,
      args: [ctx.nowMs, ctx.nowMs, ctx.actor.name, beforeMs],
    },
    { sql: `UPDATE alarm SET flaps = 0 ${calm} AND alarm.withheld = 0`, args: [beforeMs] },
  ])
  return { settled: cleared!.rowsAffected + counted!.rowsAffected }
}
