import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import { failureStates, outcomes } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { reissue } from '../directive/issue.ts'
import { isIn, movableBy, nextState } from '../rollout/move.ts'
import type { Folded } from './fold.ts'

/**
 * The statements that make a folded batch true, all in one database batch and without a read before it: each row is guarded by
 * its own sequence, so repeated, reordered and concurrent batches change nothing twice (SPEC I8, F36, F49). The number of
 * statements does not depend on the number of reports.
 */
export function recordReports(ctx: Ctx, folded: Folded): Statement[] {
  return [
    ...(folded.hellos.length > 0 ? helloStatements(ctx, folded.hellos) : []),
    ...(folded.states.length > 0 ? [stateStatement(folded.states)] : []),
    ...(folded.attempts.length > 0 ? attemptStatements(ctx, folded.attempts) : []),
    ...(folded.goodbyes.length > 0 ? [goodbyeStatement(folded.goodbyes)] : []),
    ...(folded.staged.length > 0 ? [stagedStatement(folded.staged)] : []),
    ...(folded.inventories.length > 0 ? [inventoryStatement(folded.inventories)] : []),
    ...(folded.alarms.length > 0 ? alarmStatements(ctx, folded.alarms) : []),
    ...(folded.answers.length > 0 ? answerStatements(ctx, folded.answers) : []),
    ...(folded.positions.length > 0 ? liftStatements(ctx, folded.positions) : []),
    ...(folded.hellos.length > 0 ? contradictStatements(ctx, folded.hellos) : []),
    ...(folded.hellos.length + folded.attempts.length > 0 ? closeStatements(ctx, [...folded.hellos, ...folded.attempts]) : []),
    ...(folded.hellos.length + folded.resend.length > 0 ? resendStatements(ctx, folded) : []),
  ]
}

/** Presence and facts of the newest hello. `updated` reports are those whose sequence the row then carries. */
function helloStatements(ctx: Ctx, hellos: Folded['hellos']): Statement[] {
  const rows = JSON.stringify(
    hellos.map(({ site, incarnation, seq, bootId, body }) => [
      site, incarnation, seq, bootId, body.connectionId, body.agentVersion, body.architecture, body.protocol.max, body.clockTrusted ? 1 : 0, body.staged,
      body.held.newest === null ? null : JSON.stringify(body.held.newest),
    ]),
  )
  return [
    {
      sql: `UPDATE site SET presence = 'online', hello_seq = j.value->>2, boot_id = j.value->>3, connection_id = j.value->>4, agent_version = j.value->>5, architecture = j.value->>6,
              protocol_max = j.value->>7, clock_trusted = j.value->>8, staged = j.value->>9, held = j.value->>10, last_seen_ms = ?
            FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.hello_seq < j.value->>2 AND site.state = 'enrolled'`,
      args: [ctx.nowMs, rows],
    },
  ]
}

function stateStatement(states: Folded['states']): Statement {
  return {
    sql: `UPDATE site SET running_seq = j.value->>2, running = j.value->>3, previous = j.value->>4, nodes = j.value->>5, attempt = j.value->>6
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.running_seq < j.value->>2`,
    args: [JSON.stringify(states.map((s) => [s.site, s.incarnation, s.seq, s.running, s.previous, s.nodes, s.attempt]))],
  }
}

const failures = failureStates.map((state) => `'${state}'`).join(', ')

/** A site whose grant ended unstarted gets its next one after this, so that a site which refuses every grant does not keep the controller busy. */
const notStartedDelayMs = 5000

/** Rows of attempts as `j` has them: 0 rollout, 1 site, 2 attempt, 3 incarnation, 4 sequence, 5 event, 6 progress, 7 fault, 8 reason. */
const attemptRows = (attempts: Folded['attempts']): string =>
  JSON.stringify(
    attempts.map(({ site, incarnation, seq, rolloutId, event, attempt }) => [rolloutId, site, attempt.attempt, incarnation, seq, event, JSON.stringify(attempt), attempt.fault === null ? null : JSON.stringify(attempt.fault), attempt.fault?.detail ?? event]),
  )

/** The deployment that a row of attempts is about, and that it is about the attempt the controller is at, in a newer report than the last. */
const mine = `deployment.rollout_id = j.value->>0 AND deployment.site_id = j.value->>1`
const newer = `${mine} AND deployment.attempt = j.value->>2 AND (deployment.seq_incarnation, deployment.seq) < (j.value->>3, j.value->>4)`

/** What a move is audited with. It goes before the move itself: only then is `newer` true exactly once. */
const auditMoves = (ctx: Ctx, rows: string, next: string, which: string): Statement => ({
  sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
        SELECT ?, 'site:' || deployment.site_id, 'deployment.' || (j.value->>5), 'rollout/' || deployment.rollout_id, deployment.site_id, j.value->>8,
          json_object('attempt', deployment.attempt, 'state', ${next}, 'phase', j.value->>6->>'phase', 'fault', json(j.value->>7)), coalesce(j.value->>6->>'requestId', ?)
        FROM json_each(?) AS j JOIN deployment ON ${newer} WHERE ${which}`,
  args: [ctx.nowMs, ctx.requestId, rows],
})

/**
 * Attempts that go on. Most reports are of this kind, and most of them move nothing: those write columns that no
 * index and no trigger watches.
 */
function startedStatements(ctx: Ctx, attempts: Folded['attempts']): Statement[] {
  const rows = attemptRows(attempts)
  const next = nextState(`'started'`, ['started'])
  const startable = isIn(movableBy('started'))
  const set = 'seq = j.value->>4, seq_incarnation = j.value->>3, progress = j.value->>6, updated_ms = ?, started_ms = coalesce(started_ms, ?)'
  return [
    auditMoves(ctx, rows, next, startable),
    { sql: `UPDATE deployment SET state = ${next}, fault = j.value->>7, why = j.value->>8, ${set} FROM json_each(?) AS j WHERE ${newer} AND ${startable}`, args: [ctx.nowMs, ctx.nowMs, rows] },
    { sql: `UPDATE deployment SET ${set} FROM json_each(?) AS j WHERE ${newer}`, args: [ctx.nowMs, ctx.nowMs, rows] },
  ]
}

/**
 * Attempts that have ended. A failure that the policy still retries goes back to pending in the same batch, so that it
 * never counts against the threshold.
 */
function endedStatements(ctx: Ctx, attempts: Folded['attempts']): Statement[] {
  const rows = attemptRows(attempts)
  const next = nextState('(j.value->>5)', outcomes)
  return [
    auditMoves(ctx, rows, next, `${next} IS NOT NULL`),
    {
      sql: `UPDATE wave SET last_success_ms = ? FROM json_each(?) AS j JOIN deployment ON ${newer}
            WHERE j.value->>5 = 'succeeded' AND ${next} IS NOT NULL AND wave.rollout_id = deployment.rollout_id AND wave.ordinal = deployment.wave`,
      args: [ctx.nowMs, rows],
    },
    {
      sql: `UPDATE deployment SET
              state = coalesce(${next}, state), seq = j.value->>4, seq_incarnation = j.value->>3, progress = j.value->>6, updated_ms = ?,
              fault = CASE WHEN ${next} IS NULL THEN fault ELSE j.value->>7 END,
              why = CASE WHEN ${next} IS NULL THEN why ELSE j.value->>8 END,
              failures = failures + (coalesce(${next}, '') IN (${failures})),
              not_before_ms = CASE WHEN j.value->>5 = 'not-started' THEN ? ELSE not_before_ms END,
              started_ms = CASE WHEN j.value->>5 = 'not-started' THEN NULL ELSE coalesce(started_ms, ?) END,
              ended_ms = CASE WHEN ${next} IS NOT NULL AND j.value->>5 <> 'not-started' THEN ? ELSE ended_ms END,
              deadline_ms = CASE WHEN ${next} IS NOT NULL THEN NULL ELSE deadline_ms END
            FROM json_each(?) AS j WHERE ${newer}`,
      args: [ctx.nowMs, ctx.nowMs + notStartedDelayMs, ctx.nowMs, ctx.nowMs, rows],
    },
    {
      sql: `UPDATE deployment SET state = ${nextState(`'retry'`, ['retry'])}, why = 'will be tried again: ' || why, updated_ms = ?,
              not_before_ms = ? + (r.policy->>'retryDelay') * (1 << min(failures - 1, 20))
            FROM json_each(?) AS j, rollout r
            WHERE ${mine} AND r.id = deployment.rollout_id AND r.state IN ('running', 'completed') AND deployment.seq = j.value->>4 AND deployment.seq_incarnation = j.value->>3
              AND ${isIn(`'failed', 'rolled-back', 'timed-out'`)} AND deployment.failures <= (r.policy->>'retries')`,
      args: [ctx.nowMs, ctx.nowMs, rows],
    },
    {
      // whoever waited for this site may go now
      sql: `UPDATE deployment SET not_before_ms = 0 WHERE state = 'pending' AND why LIKE 'busy: %' AND site_id IN (SELECT value->>1 FROM json_each(?))`,
      args: [rows],
    },
  ]
}

/** Moves deployments by what their sites report about the attempt the controller is at. */
function attemptStatements(ctx: Ctx, attempts: Folded['attempts']): Statement[] {
  const started = attempts.filter(({ event }) => event === 'started')
  const ended = attempts.filter(({ event }) => event !== 'started')
  return [...(started.length > 0 ? startedStatements(ctx, started) : []), ...(ended.length > 0 ? endedStatements(ctx, ended) : [])]
}

/** A goodbye counts only for the connection that said the newest hello (SPEC I10). */
function goodbyeStatement(goodbyes: Folded['goodbyes']): Statement {
  return {
    sql: `UPDATE site SET presence = 'offline' FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.connection_id = j.value->>2 AND site.presence <> 'offline'`,
    args: [JSON.stringify(goodbyes.map((g) => [g.site, g.incarnation, g.connectionId]))],
  }
}

function stagedStatement(staged: Folded['staged']): Statement {
  return {
    sql: `UPDATE site SET staged = CASE WHEN j.value->>3 IS NULL THEN j.value->>2 ELSE NULL END FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1`,
    args: [JSON.stringify(staged.map((s) => [s.site, s.incarnation, s.digest, s.fault]))],
  }
}

function inventoryStatement(inventories: Folded['inventories']): Statement {
  return {
    sql: `UPDATE site SET inventory = j.value->>3, inventory_seq = j.value->>2 FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.inventory_seq < j.value->>2`,
    args: [JSON.stringify(inventories.map((i) => [i.site, i.incarnation, i.seq, i.facts]))],
  }
}

/** Raises and clears by sequence; alarms that a site raises gate rollouts when they are critical. */
function alarmStatements(ctx: Ctx, alarms: Folded['alarms']): Statement[] {
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

/** An answered command has done its work: its row goes, and an abort counts as acknowledged. */
function answerStatements(ctx: Ctx, answers: Folded['answers']): Statement[] {
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
    { sql: `DELETE FROM directive WHERE (site_id, slot) IN (SELECT value->>0, value->>1 FROM json_each(?))`, args: [rows] },
  ]
}

/** A site that holds a newer position than was given out here (a database that came back from a backup): ours is lifted above it, and what it should hold goes out again. */
function liftStatements(ctx: Ctx, positions: Folded['positions']): Statement[] {
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
    ...reissue(ctx, { sql: `SELECT id FROM site WHERE desired_generation = -1 AND id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] }),
  ]
}

/**
 * Deployments that the newest hello contradicts: the controller thinks an attempt runs (or its grant has run out) and the site's
 * journal has no such attempt. The site is right: it has not started.
 */
function contradictStatements(ctx: Ctx, hellos: Folded['hellos']): Statement[] {
  const rows = JSON.stringify(hellos.map(({ site, incarnation, seq, body }) => [site, incarnation, seq, body.attempt?.deployment ?? '', body.attempt?.attempt ?? 0]))
  const why = 'the site knows nothing of this attempt'
  const contradicted = `deployment.site_id = j.value->>0 AND (deployment.state IN ('running', 'unknown')
      OR (deployment.state = 'granted' AND NOT EXISTS (SELECT 1 FROM directive g WHERE g.site_id = deployment.site_id AND g.slot = 'grant' AND g.expires_ms > ?)))
    AND (deployment.seq_incarnation, deployment.seq) < (j.value->>1, j.value->>2)
    AND NOT (deployment.rollout_id || ':' || deployment.site_id = j.value->>3 AND deployment.attempt <= j.value->>4)
    AND EXISTS (SELECT 1 FROM site s WHERE s.id = deployment.site_id AND s.hello_seq = j.value->>2 AND s.incarnation = j.value->>1)`
  const expiredMs = ctx.nowMs - limits.grantMarginMs
  return [
    // the audit entry first: it looks at the state before
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
            SELECT ?, 'site:' || deployment.site_id, 'deployment.not-started', 'rollout/' || deployment.rollout_id, deployment.site_id, ?, json_object('attempt', deployment.attempt, 'state', ${nextState(`'not-started'`)}), ?
            FROM json_each(?) AS j JOIN deployment ON ${contradicted}`,
      args: [ctx.nowMs, why, ctx.requestId, rows, expiredMs],
    },
    {
      sql: `UPDATE deployment SET state = ${nextState(`'not-started'`)}, why = ?, not_before_ms = ?, deadline_ms = NULL, started_ms = NULL, updated_ms = ?, seq = j.value->>2, seq_incarnation = j.value->>1
            FROM json_each(?) AS j WHERE ${contradicted}`,
      args: [why, ctx.nowMs, ctx.nowMs, rows, expiredMs],
    },
  ]
}

/** An attempt that was not started, of a rollout that has ended for good, is not started any more: nobody would look at it again (SPEC I16). */
function closeStatements(ctx: Ctx, sites: readonly { site: string }[]): Statement[] {
  const rows = JSON.stringify([...new Set(sites.map(({ site }) => site))])
  const next = `CASE r.state WHEN 'superseded' THEN ${nextState(`'supersede'`)} ELSE ${nextState(`'cancel'`)} END`
  const closed = `deployment.state = 'pending' AND deployment.site_id IN (SELECT value FROM json_each(?)) AND r.id = deployment.rollout_id AND r.state IN ('aborting', 'aborted', 'superseded')`
  return [
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
            SELECT ?, 'controller', 'deployment.close', 'rollout/' || r.id, deployment.site_id, 'the rollout is ' || r.state, json_object('state', ${next}), ? FROM deployment JOIN rollout r ON ${closed}`,
      args: [ctx.nowMs, ctx.requestId, rows],
    },
    { sql: `UPDATE deployment SET state = ${next}, why = 'the rollout is ' || r.state, ended_ms = ?, updated_ms = ? FROM rollout r WHERE ${closed}`, args: [ctx.nowMs, ctx.nowMs, rows] },
  ]
}

/**
 * What a site should hold and does not goes out again: an older desired; a grant that its journal does not know, while it is
 * good; commands that were not answered. The same directives, at the same positions, so that saying it twice is harmless; only
 * a grant for an earlier boot is given anew.
 */
function resendStatements(ctx: Ctx, folded: Folded): Statement[] {
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
    ...reissue(ctx, { sql: otherBoot, args: [rows, ctx.nowMs] }),
    { sql: `${again} AND slot IN ('desired', 'grant') AND site_id IN (${lacking})`, args: [ctx.nowMs, ctx.nowMs, rows] },
    { sql: `${again} AND slot LIKE 'command/%' AND site_id IN (SELECT value->>0 FROM json_each(?) WHERE value->>1 IS NOT NULL)`, args: [ctx.nowMs, ctx.nowMs, rows] },
    { sql: `UPDATE deployment SET not_before_ms = 0 WHERE state = 'pending' AND why LIKE 'presence: %' AND site_id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] },
  ]
}
