import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { failureStates, type DeploymentState } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { changeRollout, requireLive } from './change.ts'
import { listOf } from './move.ts'

const countOf = (states: readonly DeploymentState[]) => `coalesce((SELECT sum(n) FROM counter WHERE counter.rollout_id = wave.rollout_id AND counter.wave = wave.ordinal AND state IN (${listOf(states)})), 0)`

/** Empties the set of pauses and acknowledges the failures seen so far: only later ones count against the threshold again. */
export async function resumeRollout(ctx: Ctx, id: string, input: { reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const { view } = await changeRollout(ctx, id, input.ifMatch, (row) => {
    requireLive(row, 'resumed')
    if (row.pauses.length === 0) return null
    return {
      statements: [
        { sql: `UPDATE rollout SET pauses = '[]' WHERE id = ?`, args: [id] },
        { sql: `UPDATE wave SET failures_acknowledged = ${countOf(failureStates)}, executed_acknowledged = ${countOf([...failureStates, 'succeeded'])} WHERE rollout_id = ?`, args: [id] },
      ],
      events: [{ action: 'rollout.resume', entity: `rollout/${id}`, why: input.reason, detail: { acknowledged: row.pauses } }],
    }
  })
  return view
}
