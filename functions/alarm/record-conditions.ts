import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { heedAlarms } from './heed-alarms.ts'
import { raiseStatement } from './raise-statement.ts'
import { isFlapping, silencedOf } from './sql.ts'

/** Whoever carries reports here did not find out what they mean. */
const finder = ({ actor }: Ctx): string => (actor.role === 'ingest' ? 'controller' : actor.name)

/**
 * Raises what the controller itself found out. `rows` selects site_id, alarm_id, entity, severity and text of conditions that hold now. To be put into the batch
 * that brings a condition about, or run by a schedule: one that stands as it is costs a read and writes nothing.
 */
export function raiseConditions(ctx: Ctx, rows: Statement): Statement[] {
  const bounded = {
    sql: `SELECT c.site_id, c.alarm_id, substr(c.entity, 1, ${limits.alarmEntityMax}) AS entity, c.severity, substr(c.text, 1, ${limits.reasonLengthMax}) AS text, NULL AS gating, 'controller' AS source, ? AS changed_by, 0 AS incarnation, 0 AS seq, NULL AS site_ms, 0 AS repeat FROM (${rows.sql}) AS c`,
    args: [finder(ctx), ...rows.args],
  }
  return [raiseStatement(ctx, bounded)]
}

/**
 * Clears alarms that stand. `which` selects site_id, alarm_id and entity; what does not stand costs a read. The end of one that comes and goes too often is only noted
 * (one row, no history), and `settleAlarms` clears it when it has been quiet.
 */
export function clearConditions(ctx: Ctx, which: Statement): Statement[] {
  // the limit has the database begin with what is to be cleared, and not with all alarms of that id in the fleet
  const from = `FROM (SELECT * FROM (${which.sql}) LIMIT -1) AS w`
  const stands = 'alarm.site_id = w.site_id AND alarm.alarm_id = w.alarm_id AND alarm.entity = w.entity AND alarm.cleared_ms IS NULL'
  return [
    {
      sql: `UPDATE alarm SET cleared_ms = ?, silenced = 0, withheld = 0, changed_ms = ?, changed_by = ?, note = '' ${from} WHERE ${stands} AND NOT ${isFlapping('alarm')}`,
      args: [ctx.nowMs, ctx.nowMs, finder(ctx), ...which.args, ctx.nowMs],
    },
    { sql: `UPDATE alarm SET withheld = 1 ${from} WHERE ${stands} AND alarm.withheld = 0`, args: which.args },
  ]
}

/**
 * Announces what was silent and has stayed: standing silent alarms of these sites that nothing keeps silent any more (the history then says `raised`). `sites` selects ids.
 * To be put behind what ends a deployment or unlocks a node; rollouts heed what is announced. Reads the silent alarms of these sites.
 */
export function announceStatements(ctx: Ctx, sites: Statement): Statement[] {
  return [
    {
      sql: `UPDATE alarm INDEXED BY alarm_silenced SET silenced = 0, changed_ms = ?, changed_by = ?, note = '' WHERE silenced = 1 AND cleared_ms IS NULL AND site_id IN (${sites.sql}) AND NOT ${silencedOf('alarm')}`,
      args: [ctx.nowMs, finder(ctx), ...sites.args],
    },
    heedAlarms(ctx, sites),
  ]
}

/** Clears all that stands at a site which is not there any more. Not damped: nothing of it comes back. */
export const forgetAlarms = (ctx: Ctx, siteId: string): Statement => ({
  sql: `UPDATE alarm INDEXED BY alarm_standing_site SET cleared_ms = ?, silenced = 0, withheld = 0, changed_ms = ?, changed_by = ?, note = 'the site was removed' WHERE site_id = ? AND cleared_ms IS NULL`,
  args: [ctx.nowMs, ctx.nowMs, ctx.actor.name, siteId],
})
