import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import { monitoringHeldBy, monitoringSlot, reissue } from '../directive/issue.ts'
import type { Folded } from './fold.ts'

/** An answered command has done its work: its row goes, an abort counts as acknowledged, and a site follows the settings it was told to watch by. */
export function answerStatements(ctx: Ctx, answers: Folded['answers']): Statement[] {
  const rows = JSON.stringify(answers.map((a) => [a.site, `command/${a.command}`, a.result, a.detail]))
  const command = `JOIN directive c ON c.site_id = j.value->>0 AND c.slot = j.value->>1 AND c.body->>'$.body.type' = 'abort'`
  return [
    {
      sql: `UPDATE deployment SET abort_acknowledged = 1 FROM json_each(?) AS j ${command}
            WHERE deployment.rollout_id || ':' || deployment.site_id = c.body->>'$.body.deployment' AND deployment.site_id = c.site_id`,
      args: [rows],
    },
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
            SELECT ?, 'site:' || c.site_id, 'command.answered', 'site/' || c.site_id, c.site_id, j.value->>3, json_object('result', j.value->>2, 'deployment', c.body->>'$.body.deployment'), c.body->>'requestId'
            FROM json_each(?) AS j ${command}`,
      args: [ctx.nowMs, rows],
    },
    monitoringHeldBy({ sql: `SELECT value->>0 AS site_id, substr(value->>1, 9) AS command FROM json_each(?) WHERE value->>2 <> 'refused'`, args: [rows] }),
    // by the command's own id: where a newer one of its kind took its slot, that one has yet to be answered
    {
      sql: `DELETE FROM directive WHERE rowid IN (SELECT c.rowid FROM json_each(?) AS j JOIN directive c ON c.site_id = j.value->>0 AND c.slot >= 'command/' AND c.slot < 'command0' AND 'command/' || (c.body->>'id') = j.value->>1)`,
      args: [rows],
    },
  ]
}

/** A site that holds a newer position than was given out here (a database that came back from a backup): ours is lifted above it, and what it should hold goes out again. */
export function liftStatements(ctx: Ctx, positions: Folded['positions']): Statement[] {
  const rows = JSON.stringify(positions.map((p) => [p.site, p.incarnation, p.held.epoch, p.held.generation]))
  const behind = `SELECT s.id FROM site s, json_each(?) AS j WHERE s.id = j.value->>0 AND s.incarnation = j.value->>1 AND (s.epoch, s.generation) < (j.value->>2, j.value->>3)`
  return [
    // the audit entry first: it looks at the state before
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT ?, 'controller', 'site.lift', 'site/' || id, id, 'the site holds a newer position than was given out here', '{}', ? FROM site WHERE id IN (${behind})`,
      args: [ctx.nowMs, ctx.requestId, rows],
    },
    {
      sql: `UPDATE site SET epoch = j.value->>2, generation = j.value->>3, desired_generation = -1 FROM json_each(?) AS j
            WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND (site.epoch, site.generation) < (j.value->>2, j.value->>3)`,
      args: [rows],
    },
    ...reissue(ctx, { sql: `SELECT id FROM site WHERE desired_generation = -1 AND id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] }, 'directives-then-site'),
  ]
}

/**
 * What a site should hold and does not goes out again: an older desired; a grant that its journal does not know, while it is
 * good; commands that were not answered, but for settings to watch by: what it follows is said behind its hello. The same
 * directives, at the same positions, so that saying it twice is harmless; only a grant for an earlier boot is given anew.
 */
export function resendStatements(ctx: Ctx, folded: Folded): Statement[] {
  const rows = JSON.stringify([
    ...folded.hellos.map(({ site, seq, bootId, body }) => [site, seq, body.held.desired?.epoch ?? -1, body.held.desired?.generation ?? -1, body.attempt?.deployment ?? '', body.attempt?.attempt ?? 0, bootId]),
    ...folded.resend.map(({ site, bootId }) => [site, null, -1, -1, '', 0, bootId]),
  ])
  const lacking = `SELECT s.id FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 AND s.state = 'enrolled' AND (j.value->>1 IS NULL OR s.hello_seq = j.value->>1)
    WHERE ((s.desired IS NOT NULL AND (j.value->>2, j.value->>3) < (s.desired_epoch, s.desired_generation))
       OR EXISTS (SELECT 1 FROM deployment d WHERE d.site_id = s.id AND d.state = 'granted' AND NOT (d.rollout_id || ':' || d.site_id = j.value->>4 AND d.attempt <= j.value->>5)))`
  const otherBoot = `${lacking} AND EXISTS (SELECT 1 FROM directive g WHERE g.site_id = s.id AND g.slot = 'grant' AND g.expires_ms > ? AND g.body->>'bootId' <> j.value->>6)`
  const again = `UPDATE directive SET pending = 1, attempts = 0, due_ms = ? WHERE (expires_ms IS NULL OR expires_ms > ?)`
  return [
    ...reissue(ctx, { sql: otherBoot, args: [rows, ctx.nowMs] }, 'site-then-directives'),
    { sql: `${again} AND slot IN ('desired', 'grant') AND site_id IN (${lacking})`, args: [ctx.nowMs, ctx.nowMs, rows] },
    { sql: `${again} AND slot LIKE 'command/%' AND slot <> '${monitoringSlot}' AND site_id IN (SELECT value->>0 FROM json_each(?) WHERE value->>1 IS NOT NULL)`, args: [ctx.nowMs, ctx.nowMs, rows] },
    { sql: `UPDATE deployment SET not_before_ms = 0 WHERE state IN ('pending', 'parked') AND (why LIKE 'presence: %' OR why LIKE 'agent: %' OR why LIKE 'no-common-protocol: %') AND site_id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] },
  ]
}
