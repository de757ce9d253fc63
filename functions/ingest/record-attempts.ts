import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import { failureStates, outcomes } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { isIn, listOf, movableBy, nextState } from '../rollout/move.ts'
import type { Folded } from './fold.ts'

const failures = listOf(failureStates)

/** A site whose grant ended unstarted gets its next one after this, and after twice the time each time again: one that refuses every grant must not keep the controller busy. */
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
              not_before_ms = CASE WHEN j.value->>5 = 'not-started' THEN ? + ${notStartedDelayMs} * (1 << min(attempt - 1, 8)) ELSE not_before_ms END,
              started_ms = CASE WHEN j.value->>5 = 'not-started' THEN NULL ELSE coalesce(started_ms, ?) END,
              ended_ms = CASE WHEN ${next} IS NOT NULL AND j.value->>5 <> 'not-started' THEN ? ELSE ended_ms END,
              deadline_ms = CASE WHEN ${next} IS NOT NULL THEN NULL ELSE deadline_ms END
            FROM json_each(?) AS j WHERE ${newer}`,
      args: [ctx.nowMs, ctx.nowMs, ctx.nowMs, ctx.nowMs, rows],
    },
    {
      sql: `UPDATE deployment SET state = ${nextState(`'retry'`, ['retry'])}, why = 'will be tried again: ' || why, updated_ms = ?,
              not_before_ms = ? + (r.policy->>'retryDelay') * (1 << min(failures - 1, 20))
            FROM json_each(?) AS j, rollout r
            WHERE ${mine} AND r.id = +deployment.rollout_id AND r.state IN ('running', 'completed') AND deployment.seq = j.value->>4 AND deployment.seq_incarnation = j.value->>3
              AND ${isIn(listOf(['failed', 'rolled-back', 'timed-out']))} AND deployment.failures <= (r.policy->>'retries')`,
      args: [ctx.nowMs, ctx.nowMs, rows],
    },
    {
      // whoever waited for this site may go now
      sql: `UPDATE deployment SET not_before_ms = 0 WHERE state IN ('pending', 'parked') AND why LIKE 'busy: %' AND site_id IN (SELECT value->>1 FROM json_each(?))`,
      args: [rows],
    },
  ]
}

/** Moves deployments by what their sites report about the attempt the controller is at. */
export function attemptStatements(ctx: Ctx, attempts: Folded['attempts']): Statement[] {
  const started = attempts.filter(({ event }) => event === 'started')
  const ended = attempts.filter(({ event }) => event !== 'started')
  return [...(started.length > 0 ? startedStatements(ctx, started) : []), ...(ended.length > 0 ? endedStatements(ctx, ended) : [])]
}

/**
 * Deployments that the newest hello contradicts: the controller thinks an attempt runs (or its grant has run out) and the site's
 * journal has no such attempt. The site is right: it has not started.
 */
export function contradictStatements(ctx: Ctx, hellos: Folded['hellos']): Statement[] {
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
export function closeStatements(ctx: Ctx, sites: readonly { site: string }[]): Statement[] {
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
    // a grant that was not used is void: sent once more, it would begin an attempt that holds no place (SPEC I7)
    {
      sql: `DELETE FROM directive WHERE slot = 'grant' AND site_id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
              SELECT 1 FROM deployment d WHERE d.site_id = directive.site_id AND d.rollout_id || ':' || d.site_id = directive.body->>'deployment' AND d.attempt = directive.body->>'attempt' AND d.state IN ('granted', 'running'))`,
      args: [rows],
    },
  ]
}
