import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import type { Folded } from './fold.ts'

/** What runs at a site, as hello or progress say it. */
export function stateStatement(states: Folded['states']): Statement {
  return {
    sql: `UPDATE site SET running_seq = j.value->>2, running = j.value->>3, previous = j.value->>4, nodes = j.value->>5, attempt = j.value->>6
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.running_seq < j.value->>2`,
    args: [JSON.stringify(states.map((s) => [s.site, s.incarnation, s.seq, s.running, s.previous, s.nodes, s.attempt]))],
  }
}

export function stagedStatement(staged: Folded['staged']): Statement {
  return {
    sql: `UPDATE site SET staged = CASE WHEN j.value->>3 IS NULL THEN j.value->>2 ELSE NULL END FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1`,
    args: [JSON.stringify(staged.map((s) => [s.site, s.incarnation, s.digest, s.fault]))],
  }
}

export function inventoryStatement(inventories: Folded['inventories']): Statement {
  return {
    sql: `UPDATE site SET inventory = j.value->>3, inventory_seq = j.value->>2 FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.inventory_seq < j.value->>2`,
    args: [JSON.stringify(inventories.map((i) => [i.site, i.incarnation, i.seq, i.facts]))],
  }
}

/** Raises and clears by sequence; alarms that a site raises gate rollouts when they are critical. */
export function alarmStatements(ctx: Ctx, alarms: Folded['alarms']): Statement[] {
  const rows = JSON.stringify(alarms.map((a) => [a.site, a.alarmId, a.entity, a.severity, a.text, a.severity === 'critical' ? 1 : 0, a.raised ? 1 : 0, a.seq]))
  return [
    {
      sql: `INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq)
            SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, ?, CASE WHEN value->>6 THEN NULL ELSE ? END, value->>7 FROM json_each(?) WHERE true
            ON CONFLICT (site_id, alarm_id, entity) DO UPDATE SET severity = excluded.severity, text = excluded.text, gating = excluded.gating, seq = excluded.seq,
              raised_ms = CASE WHEN alarm.cleared_ms IS NULL THEN alarm.raised_ms ELSE excluded.raised_ms END, cleared_ms = excluded.cleared_ms
            WHERE excluded.seq > alarm.seq`,
      args: [ctx.nowMs, ctx.nowMs, rows],
    },
  ]
}
