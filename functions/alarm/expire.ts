import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'

const perRunMax = 500

/**
 * Forgets alarms that cleared long ago, and what happened to alarms before history is kept. Reads three rows and deletes one (with its four index entries) for each, at
 * most 500 of either kind a run; two index entries when nothing is old enough. One that lies on the shelf keeps its row, so that it stays there when it comes back.
 */
export async function expireAlarms(ctx: Ctx): Promise<{ alarms: number; events: number }> {
  const [alarms, events] = await ctx.db.write([
    {
      sql: `DELETE FROM alarm WHERE (site_id, alarm_id, entity) IN (
              SELECT site_id, alarm_id, entity FROM alarm INDEXED BY alarm_cleared WHERE cleared_ms < ? AND shelved_until_ms IS NULL ORDER BY cleared_ms LIMIT ${perRunMax})`,
      args: [ctx.nowMs - limits.alarmClearedMs],
    },
    { sql: `DELETE FROM alarm_event WHERE seq IN (SELECT seq FROM alarm_event INDEXED BY alarm_event_time WHERE at_ms < ? ORDER BY at_ms LIMIT ${perRunMax})`, args: [ctx.nowMs - limits.alarmHistoryMs] },
  ])
  return { alarms: alarms!.rowsAffected, events: events!.rowsAffected }
}
