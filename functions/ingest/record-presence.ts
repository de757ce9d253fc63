import type { Statement } from '../../db/client.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { slotOf } from '../metric/ring.ts'
import type { Folded } from './fold.ts'
import type { SiteVerdict } from './judge-site.ts'

/** A site is online, and is what its newest hello says. */
export function helloStatement(ctx: Ctx, hellos: Folded['hellos']): Statement {
  const rows = JSON.stringify(
    hellos.map(({ site, incarnation, seq, bootId, body }) => [
      site, incarnation, seq, bootId, body.connectionId, body.agentVersion, body.architecture, body.protocol.max, body.clockTrusted ? 1 : 0, body.staged,
      body.held.newest === null ? null : JSON.stringify(body.held.newest), body.protocol.min,
    ]),
  )
  return {
    sql: `UPDATE site SET presence = 'online', hello_seq = j.value->>2, boot_id = j.value->>3, connection_id = j.value->>4, agent_version = j.value->>5, architecture = j.value->>6,
            protocol_max = j.value->>7, clock_trusted = j.value->>8, staged = j.value->>9, held = j.value->>10, protocol_min = j.value->>11,
            monitoring_held = iif(j.value->>7 < 2, NULL, monitoring_held), last_seen_ms = ?
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.hello_seq < j.value->>2 AND site.state = 'enrolled'`,
    args: [ctx.nowMs, rows],
  }
}

/** A site is online whose words are not understood: what it last said of itself stands. */
export function greetingStatement(ctx: Ctx, greetings: Folded['greetings']): Statement {
  const rows = JSON.stringify(greetings.map(({ site, incarnation, seq, bootId, body }) => [site, incarnation, seq, bootId, body.connectionId, body.agentVersion, body.protocol.min, body.protocol.max]))
  return {
    sql: `UPDATE site SET presence = 'online', hello_seq = j.value->>2, boot_id = j.value->>3, connection_id = j.value->>4, agent_version = j.value->>5, protocol_min = j.value->>6, protocol_max = j.value->>7, last_seen_ms = ?
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.hello_seq < j.value->>2 AND site.state = 'enrolled'`,
    args: [ctx.nowMs, rows],
  }
}

/** Behind the hellos and greetings: a site that is online now is neither offline nor suspect. Reads two alarms for each, and writes where one stands. */
export function backOnlineStatements(ctx: Ctx, hellos: readonly { site: string; incarnation: number; seq: number }[]): Statement[] {
  return clearConditions(ctx, {
    sql: `SELECT s.id AS site_id, a.value AS alarm_id, 'site' AS entity FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 AND s.incarnation = j.value->>1 AND s.hello_seq = j.value->>2 AND +s.presence = 'online', json_each(?) AS a`,
    args: [JSON.stringify(hellos.map(({ site, incarnation, seq }) => [site, incarnation, seq])), JSON.stringify([alarmIds.siteOffline, alarmIds.siteSuspect])],
  })
}

/** What a site that is offline is said to be; the same words whoever finds it out, so that nothing is written twice. */
export const offlineText = 'its agent is not connected'

/** A goodbye counts only for the connection that said the newest hello (SPEC I10). The alarm goes before the move: only then is it true exactly once. */
export function goodbyeStatements(ctx: Ctx, goodbyes: Folded['goodbyes']): Statement[] {
  const rows = JSON.stringify(goodbyes.map((g) => [g.site, g.incarnation, g.connectionId]))
  const which = `site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.connection_id = j.value->>2 AND site.presence <> 'offline'`
  const going = `FROM json_each(?) AS j JOIN site ON ${which} WHERE site.state = 'enrolled'`
  return [
    ...raiseConditions(ctx, { sql: `SELECT site.id AS site_id, '${alarmIds.siteOffline}' AS alarm_id, 'site' AS entity, 'major' AS severity, '${offlineText}' AS text ${going}`, args: [rows] }),
    ...clearConditions(ctx, { sql: `SELECT site.id AS site_id, '${alarmIds.siteSuspect}' AS alarm_id, 'site' AS entity ${going}`, args: [rows] }),
    { sql: `UPDATE site SET presence = 'offline' FROM json_each(?) AS j WHERE ${which}`, args: [rows] },
  ]
}

/**
 * Before blocks of metrics are stored: a suspect site whose block is news is online again, and rollouts that wait for it are due. Reads one row for each block, and
 * writes only where a site was suspect.
 */
export function unsuspectStatements(ctx: Ctx, metrics: Folded['metrics']): Statement[] {
  const rows = JSON.stringify(metrics.map(({ site, incarnation, block }) => [site, incarnation, slotOf(block.startMs), block.startMs]))
  const which = `site.id = j.value->>0 AND site.incarnation = j.value->>1 AND +site.presence = 'suspect'
    AND NOT EXISTS (SELECT 1 FROM metric_block b WHERE b.site_id = site.id AND b.slot = j.value->>2 AND b.start_ms >= j.value->>3)`
  const back = `FROM json_each(?) AS j JOIN site ON ${which}`
  return [
    ...clearConditions(ctx, { sql: `SELECT site.id AS site_id, '${alarmIds.siteSuspect}' AS alarm_id, 'site' AS entity ${back}`, args: [rows] }),
    { sql: `UPDATE rollout SET wake_ms = ? WHERE state IN ('running', 'completed') AND id IN (SELECT d.rollout_id ${back} JOIN deployment d ON d.site_id = site.id AND d.state IN ('pending', 'parked'))`, args: [ctx.nowMs, rows] },
    { sql: `UPDATE site SET presence = 'online' FROM json_each(?) AS j WHERE ${which}`, args: [rows] },
  ]
}

/** Behind the hellos: what sites are found to be by what they say of themselves. A verdict that an older report led to is passed over. */
export function verdictStatements(ctx: Ctx, verdicts: readonly SiteVerdict[]): Statement[] {
  const ofSite = `FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 AND s.incarnation = j.value->>1 AND s.hello_seq <= j.value->>2 AND s.state = 'enrolled'`
  const rows = (some: readonly SiteVerdict[]) => JSON.stringify(some.map(({ site, incarnation, seq, alarmId, holds }) => [site, incarnation, seq, alarmId, holds?.severity, holds?.text]))
  const [found, right] = [verdicts.filter(({ holds }) => holds !== null), verdicts.filter(({ holds }) => holds === null)]
  return [
    ...(found.length === 0 ? [] : raiseConditions(ctx, { sql: `SELECT s.id AS site_id, j.value->>3 AS alarm_id, 'site' AS entity, j.value->>4 AS severity, j.value->>5 AS text ${ofSite}`, args: [rows(found)] })),
    ...(right.length === 0 ? [] : clearConditions(ctx, { sql: `SELECT s.id AS site_id, j.value->>3 AS alarm_id, 'site' AS entity ${ofSite}`, args: [rows(right)] })),
  ]
}
