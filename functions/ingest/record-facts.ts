import type { Statement } from '../../db/client.ts'
import { defaultsDigest } from '../../protocol/monitoring.ts'
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

/** What a site watches by, said with all that stands there: which report that was is noted for its alarms, and what it lacks is due to be told. */
export function followsStatement(follows: Folded['follows']): Statement {
  return {
    sql: `UPDATE site SET standing_incarnation = incarnation, standing_seq = j.value->>2, monitoring_held = j.value->>3, monitoring_due_ms = 0
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND (site.standing_incarnation < site.incarnation OR site.standing_seq < j.value->>2)`,
    args: [JSON.stringify(follows.map((f) => [f.site, f.incarnation, f.seq, f.monitoring ?? defaultsDigest]))],
  }
}

export function inventoryStatement(inventories: Folded['inventories']): Statement {
  return {
    sql: `UPDATE site SET inventory = j.value->>3, inventory_seq = j.value->>2 FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.inventory_seq < j.value->>2`,
    args: [JSON.stringify(inventories.map((i) => [i.site, i.incarnation, i.seq, i.facts]))],
  }
}
