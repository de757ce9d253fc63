import { eq } from 'drizzle-orm'
import { GuardLost, type Statement } from '../../db/client.ts'
import { rollout, type RolloutRow } from '../../db/schema/rollout.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { limits } from '../../protocol/limits.ts'
import { rolloutTable, type RolloutEvent, type RolloutState } from '../../protocol/states.ts'
import { recordEvents, type Event } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { advanceRollout } from './advance.ts'
import { notePause } from './note-pause.ts'
import { viewRollout } from './view.ts'

/** What an operator's verb does to a rollout; null when the world already is as asked. */
export type Change = { statements: Statement[]; events: Event[] } | null

/**
 * The way of every operator's verb: read the row, compute the change, write it guarded by the version, then advance.
 * With `ifMatch`, a version that has moved on is a precondition-failed; without, the verb is applied to the newest state.
 * Returns the view after it; `changed` is how many rows the first statement touched.
 */
export async function changeRollout(ctx: Ctx, id: string, ifMatch: number | null, compute: (row: RolloutRow) => Promise<Change> | Change): Promise<{ view: RolloutView; changed: number }> {
  for (let attempt = 1; ; attempt++) {
    const row = await loadRollout(ctx, id)
    if (ifMatch !== null && row.version !== ifMatch) throw new FleetError('precondition-failed', `rollout ${id} is at version ${row.version}, not ${ifMatch}`)
    const change = await compute(row)
    if (change === null) return { view: await viewRollout(ctx, id), changed: 0 }
    const bump: Statement = { sql: 'UPDATE rollout SET version = version + 1, wake_ms = ? WHERE id = ?', args: [ctx.nowMs, id] }
    try {
      const results = await ctx.db.write([...change.statements, bump, ...notePause(ctx, id), recordEvents(ctx, change.events)], [{ sql: 'SELECT version FROM rollout WHERE id = ?', args: [id], is: row.version }])
      await advanceRollout(ctx, id)
      return { view: await viewRollout(ctx, id), changed: results[0]?.rowsAffected ?? 0 }
    } catch (error) {
      if (!(error instanceof GuardLost) || attempt >= limits.casAttemptsMax) throw error
    }
  }
}

/** The rollout's row, or not-found. */
export async function loadRollout(ctx: Ctx, id: string): Promise<RolloutRow> {
  const [row] = await ctx.db.orm.select().from(rollout).where(eq(rollout.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no rollout ${id}`)
  return row
}

/** The state after an event, or a conflict that says why the verb does not fit. */
export function nextRolloutState(row: RolloutRow, event: RolloutEvent): RolloutState {
  const next = rolloutTable[row.state][event]
  if (next === null) throw new FleetError('conflict', `rollout ${row.id} is ${row.state}: it cannot ${event}`, { reason: row.state })
  return next
}

/** Refuses verbs on rollouts that have ended for good. */
export function requireLive(row: RolloutRow, verb: string): void {
  if (row.state === 'aborting' || row.state === 'aborted' || row.state === 'superseded') throw new FleetError('conflict', `rollout ${row.id} is ${row.state}: it cannot be ${verb}`, { reason: row.state })
}
