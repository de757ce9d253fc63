import type { Statement } from '../../db/client.ts'
import type { Pause } from '../../db/schema/rollout.ts'
import { limits } from '../../protocol/limits.ts'
import { assertNever } from '../../protocol/result.ts'
import { rolloutTable, type RolloutEvent, type RolloutState } from '../../protocol/states.ts'
import { recordEvents, type Event } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { issueGrants } from '../directive/issue.ts'
import type { Decision, RolloutStep } from './decide.ts'
import { isIn, moveDeployments, named } from './move.ts'
import { raiseOutcomes, settleOutcomes } from './note-outcomes.ts'
import { notePause } from './note-pause.ts'
import { executedIn, failuresIn, type RolloutSnapshot } from './snapshot.ts'

type StepOf<K extends RolloutStep['kind']> = Extract<RolloutStep, { kind: K }>

/** Writes a decision as one batch, guarded by the version the snapshot was read at: all of it lands, or GuardLost and none. */
export async function applyDecision(ctx: Ctx, snapshot: RolloutSnapshot, decision: Decision): Promise<void> {
  if (decision.steps.length === 0 && wakesInTime(snapshot.wakeMs, decision.wakeMs, ctx.nowMs)) return
  const statements = [...deploymentStatements(ctx, snapshot, decision.steps), ...waveStatements(ctx, snapshot, decision.steps), rolloutStatement(ctx, snapshot, decision)]
  if (decision.steps.some(({ kind }) => movesPause.has(kind))) statements.push(...notePause(ctx, snapshot.id))
  const events = decision.steps.flatMap((step) => eventOf(snapshot, step) ?? [])
  if (events.length > 0) statements.push(recordEvents(ctx, events))
  await ctx.db.write(statements, [{ sql: 'SELECT version FROM rollout WHERE id = ?', args: [snapshot.id], is: snapshot.version }])
}

/** After these a rollout may wait for a person that did not, or the other way round. */
const movesPause: ReadonlySet<RolloutStep['kind']> = new Set<RolloutStep['kind']>(['pause', 'complete', 'reopen', 'settleAbort'])

/** Whether the wake time that is stored already does: then a decision without steps costs no write. */
const wakesInTime = (storedMs: number | null, wantedMs: number | null, nowMs: number): boolean =>
  storedMs === wantedMs || (storedMs !== null && wantedMs !== null && storedMs > nowMs && storedMs <= wantedMs)

/** Steps of one kind. */
const pick = <K extends RolloutStep['kind']>(steps: readonly RolloutStep[], kind: K): StepOf<K>[] => steps.filter((step): step is StepOf<K> => step.kind === kind)

function deploymentStatements(ctx: Ctx, snapshot: RolloutSnapshot, steps: readonly RolloutStep[]): Statement[] {
  const statements: Statement[] = []
  const move = (event: Parameters<typeof moveDeployments>[1], rows: readonly { siteId: string; why: string }[], sets?: Parameters<typeof moveDeployments>[4]) => {
    if (rows.length > 0) statements.push(moveDeployments(snapshot.id, event, rows, ctx.nowMs, sets))
  }
  move('skip', pick(steps, 'skip'), { ended_ms: { sql: '?', args: [ctx.nowMs] } })
  move('park', pick(steps, 'park'))
  move('unpark', pick(steps, 'unpark'), { not_before_ms: { sql: '0' } })
  const lost = pick(steps, 'loseSite')
  move('silence', lost, { ended_ms: { sql: '?', args: [ctx.nowMs] }, deadline_ms: { sql: 'NULL' }, failures: { sql: 'failures + 1' } })
  if (lost.length > 0) statements.push(...raiseOutcomes(ctx, lost.map(({ siteId }) => [snapshot.id, siteId])), ...settleOutcomes(ctx, { sql: 'SELECT value FROM json_each(?)', args: [JSON.stringify(lost.map(({ siteId }) => siteId))] }))
  const deferred = pick(steps, 'defer')
  if (deferred.length > 0) {
    statements.push({
      sql: `UPDATE deployment SET not_before_ms = move.value->>2, why = move.value->>3 FROM json_each(?) AS move WHERE ${named} AND ${isIn(`'pending', 'parked'`)}`,
      args: [JSON.stringify(deferred.map((step) => [snapshot.id, step.siteId, step.untilMs, `${step.code}: ${step.why}`]))],
    })
  }
  for (const step of pick(steps, 'expireParked')) {
    statements.push({ sql: `UPDATE deployment SET state = 'skipped', why = ?, updated_ms = ?, ended_ms = ? WHERE rollout_id = ? AND state = 'parked'`, args: [step.why, ctx.nowMs, ctx.nowMs, snapshot.id] })
  }
  const grants = pick(steps, 'grant')
  if (grants.length > 0) {
    const { policy } = snapshot
    const startByMs = ctx.nowMs + policy.startWithin
    move('grant', grants, {
      attempt: { sql: 'attempt + 1' },
      from_release: { sql: '(SELECT running FROM site WHERE id = deployment.site_id)' },
      granted_ms: { sql: '?', args: [ctx.nowMs] }, started_ms: { sql: 'NULL' }, ended_ms: { sql: 'NULL' }, progress: { sql: 'NULL' }, fault: { sql: 'NULL' }, abort_acknowledged: { sql: '0' },
      deadline_ms: { sql: '?', args: [startByMs + policy.maxDuration + limits.grantMarginMs] },
    })
    statements.push(...issueGrants(ctx, snapshot.id, grants.map((g) => g.siteId), { staging: policy.staging, back: snapshot.back, startByMs, maxDurationMs: policy.maxDuration }))
  }
  return statements
}

function waveStatements(ctx: Ctx, snapshot: RolloutSnapshot, steps: readonly RolloutStep[]): Statement[] {
  const statements: Statement[] = []
  for (const step of pick(steps, 'openWave')) statements.push({ sql: `UPDATE wave SET state = 'open', opened_ms = ? WHERE rollout_id = ? AND ordinal = ? AND state = 'waiting'`, args: [ctx.nowMs, snapshot.id, step.ordinal] })
  for (const step of pick(steps, 'closeWave')) statements.push({ sql: `UPDATE wave SET state = 'done' WHERE rollout_id = ? AND ordinal = ? AND state = 'open'`, args: [snapshot.id, step.ordinal] })
  if (steps.some((step) => step.kind === 'complete' || step.kind === 'settleAbort')) statements.push({ sql: `UPDATE rollout SET wake_ms = ?, version = version + 1 WHERE after_rollout = ? AND state = 'scheduled'`, args: [ctx.nowMs, snapshot.id] })
  if (pick(steps, 'reopen').length > 0) statements.push({ sql: `UPDATE wave SET state = 'open' WHERE rollout_id = ? AND state = 'done'`, args: [snapshot.id] })
  if (pick(steps, 'lowerAcknowledged').length > 0) {
    for (const wave of snapshot.waves) {
      statements.push({
        sql: 'UPDATE wave SET failures_acknowledged = min(failures_acknowledged, ?), executed_acknowledged = min(executed_acknowledged, ?) WHERE rollout_id = ? AND ordinal = ?',
        args: [failuresIn(wave.tally), executedIn(wave.tally), snapshot.id, wave.ordinal],
      })
    }
  }
  return statements
}

const rolloutEvents: Partial<Record<RolloutStep['kind'], RolloutEvent>> = { start: 'start', complete: 'complete', reopen: 'reopen', settleAbort: 'settled' }

/** The rollout's own row: always written, because its version is what the next decision is guarded by. */
function rolloutStatement(ctx: Ctx, snapshot: RolloutSnapshot, decision: Decision): Statement {
  let state: RolloutState = snapshot.state
  for (const step of decision.steps) {
    const event = rolloutEvents[step.kind]
    if (event !== undefined) state = rolloutTable[state][event] ?? state
  }
  const pauses: Pause[] = [...snapshot.pauses, ...pick(decision.steps, 'pause').map((step) => ({ reason: step.reason, detail: step.why }))]
  const started = state === 'running' && snapshot.startedMs === null
  const ended = state === 'completed' || state === 'aborted'
  return {
    sql: `UPDATE rollout SET version = version + 1, state = ?, pauses = ?, wake_ms = ?, started_ms = coalesce(started_ms, ?), ended_ms = ?, parked_until_ms = coalesce(parked_until_ms, ?) WHERE id = ?`,
    args: [state, JSON.stringify(pauses), decision.wakeMs, started ? ctx.nowMs : null, ended ? ctx.nowMs : null, started ? ctx.nowMs + snapshot.policy.parkedFor : null, snapshot.id],
  }
}

/** A step as an entry of the audit trail. A site that only goes on waiting is none: its row says what for. */
function eventOf(snapshot: RolloutSnapshot, step: RolloutStep): Event | null {
  const entity = `rollout/${snapshot.id}`
  const waveName = (ordinal: number) => snapshot.waves.find((wave) => wave.ordinal === ordinal)?.policy.name ?? String(ordinal)
  switch (step.kind) {
    case 'start': return { action: 'rollout.start', entity, why: step.why }
    case 'openWave': return { action: 'wave.open', entity, why: step.why, detail: { wave: waveName(step.ordinal) } }
    case 'closeWave': return { action: 'wave.done', entity, why: step.why, detail: { wave: waveName(step.ordinal) } }
    case 'grant': return { action: 'deployment.grant', entity, siteId: step.siteId, why: step.why, detail: { wave: waveName(step.wave), from: step.from?.id ?? null } }
    case 'park': return { action: 'deployment.park', entity, siteId: step.siteId, why: step.why }
    case 'unpark': return { action: 'deployment.unpark', entity, siteId: step.siteId, why: step.why }
    case 'skip': return { action: 'deployment.skip', entity, siteId: step.siteId, why: step.why }
    case 'defer': return null
    case 'loseSite': return { action: 'deployment.lose', entity, siteId: step.siteId, why: step.why }
    case 'expireParked': return { action: 'rollout.expire-parked', entity, why: step.why }
    case 'pause': return { action: 'rollout.pause', entity, why: step.why, detail: { reason: step.reason } }
    case 'lowerAcknowledged': return { action: 'rollout.lower-acknowledged', entity, why: step.why }
    case 'complete': return { action: 'rollout.complete', entity, why: step.why }
    case 'reopen': return { action: 'rollout.reopen', entity, why: step.why }
    case 'settleAbort': return { action: 'rollout.aborted', entity, why: step.why }
    default: return assertNever(step)
  }
}
