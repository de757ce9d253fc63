import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import { gatingOf, inFlapWindow, isFlapping, isWorse, silencedOf } from './sql.ts'

/**
 * Whether what row `r` (severity, text, gating) says of alarm `a` (all null where there is none) is news; takes the time. While it comes and goes too often, only that it
 * got worse is.
 */
export const isNews = (r: string, a: string): string => `(${a}.site_id IS NULL OR ${a}.cleared_ms IS NOT NULL OR ${a}.withheld = 1 OR ${isWorse(`${r}.severity`, `${a}.severity`)}
  OR (NOT ${isFlapping(a)} AND (${a}.severity <> ${r}.severity OR ${a}.text <> ${r}.text OR ${a}.gating <> coalesce(${r}.gating, ${a}.gating) OR (${a}.silenced = 1 AND NOT ${silencedOf(a)}))))`

/**
 * Raises alarms, or changes those that stand, all by one statement. `rows` selects site_id, alarm_id, entity, severity, text, gating (null: what the catalogue says), source,
 * changed_by, incarnation, seq, site_ms and `repeat`: 1 where even a row without news is to be written, because its sequence is newer. One that stands keeps the time it was raised at. Raised anew, or worse
 * than before, it was acknowledged by nobody. Writes no row where nothing is new.
 */
export function raiseStatement({ nowMs: now }: Pick<Ctx, 'nowMs'>, rows: Statement): Statement {
  const anew = 'alarm.cleared_ms IS NOT NULL'
  const newer = '(excluded.incarnation, excluded.seq) > (alarm.incarnation, alarm.seq)'
  const unseen = `(${anew} OR ${isWorse('excluded.severity', 'alarm.severity')})`
  // a severity that goes up and down counts like an alarm that comes and goes
  const counted = `(${anew} OR alarm.severity <> excluded.severity)`
  return {
    sql: `INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq, source, incarnation, changed_ms, changed_by, note, site_ms, silenced, gating_ms, flaps, flaps_since_ms)
          SELECT r.site_id, r.alarm_id, r.entity, r.severity, r.text, coalesce(r.gating, ${gatingOf('r')}), ?, NULL, r.seq, r.source, r.incarnation, ?, r.changed_by, '', r.site_ms, ${silencedOf('r')}, ?, 1, ?
          FROM (${rows.sql}) AS r LEFT JOIN alarm a ON a.site_id = r.site_id AND a.alarm_id = r.alarm_id AND a.entity = r.entity
          WHERE ${isNews('r', 'a')} OR (r.repeat = 1 AND NOT ${isFlapping('a')})
          ON CONFLICT (site_id, alarm_id, entity) DO UPDATE SET
            severity = excluded.severity, text = excluded.text, gating = excluded.gating, source = excluded.source, cleared_ms = NULL, withheld = 0,
            raised_ms = CASE WHEN ${anew} THEN excluded.raised_ms ELSE alarm.raised_ms END,
            seq = CASE WHEN ${newer} THEN excluded.seq ELSE alarm.seq END, incarnation = CASE WHEN ${newer} THEN excluded.incarnation ELSE alarm.incarnation END,
            changed_ms = excluded.changed_ms, changed_by = excluded.changed_by, note = '',
            site_ms = CASE WHEN ${anew} THEN excluded.site_ms ELSE coalesce(alarm.site_ms, excluded.site_ms) END,
            silenced = CASE WHEN ${anew} THEN excluded.silenced ELSE min(alarm.silenced, excluded.silenced) END,
            gating_ms = CASE WHEN ${anew} OR excluded.gating > alarm.gating THEN excluded.gating_ms ELSE alarm.gating_ms END,
            acknowledged_ms = CASE WHEN ${unseen} THEN NULL ELSE alarm.acknowledged_ms END,
            acknowledged_by = CASE WHEN ${unseen} THEN NULL ELSE alarm.acknowledged_by END,
            acknowledged_note = CASE WHEN ${unseen} THEN NULL ELSE alarm.acknowledged_note END,
            flaps = CASE WHEN NOT ${counted} THEN alarm.flaps WHEN ${inFlapWindow('alarm')} THEN alarm.flaps + 1 ELSE 1 END,
            flaps_since_ms = CASE WHEN NOT ${counted} OR ${inFlapWindow('alarm')} THEN alarm.flaps_since_ms ELSE excluded.flaps_since_ms END`,
    args: [now, now, now, now, ...rows.args, now, now, now, now],
  }
}
