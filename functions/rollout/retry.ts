import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { failureStates } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { changeRollout, requireLive } from './change.ts'
import { listOf, movableBy, nextState } from './move.ts'
import { settleOutcomes } from './note-outcomes.ts'

/** Another attempt for all that failed, or for the sites named (these may also have been cancelled or skipped). */
export async function retryRollout(ctx: Ctx, id: string, input: { sites?: readonly string[]; reason: string; ifMatch: number | null }): Promise<{ rollout: RolloutView; retried: number }> {
  const { view, changed } = await changeRollout(ctx, id, input.ifMatch, (row) => {
    requireLive(row, 'retried')
    const named = input.sites === undefined ? '' : 'AND site_id IN (SELECT value FROM json_each(?))'
    return {
      statements: [
        {
          sql: `UPDATE deployment SET state = ${nextState(`'retry'`)}, wave = max(wave, 0), why = ?, failures = 0, not_before_ms = 0, deadline_ms = NULL, ended_ms = NULL, updated_ms = ?
                WHERE rollout_id = ? AND state IN (${input.sites === undefined ? listOf(failureStates) : movableBy('retry')}) ${named}`,
          args: [`retried by ${ctx.actor.name}`, ctx.nowMs, id, ...(input.sites === undefined ? [] : [JSON.stringify(input.sites)])],
        },
        ...settleOutcomes(ctx, { sql: `SELECT site_id FROM deployment WHERE rollout_id = ? AND state = 'pending' AND updated_ms = ?`, args: [id, ctx.nowMs] }),
      ],
      events: [{ action: 'rollout.retry', entity: `rollout/${id}`, why: input.reason, detail: input.sites === undefined ? {} : { sites: input.sites } }],
    }
  })
  if (changed === 0) throw new FleetError('conflict', input.sites === undefined ? 'no site of this rollout has failed' : 'none of these sites is in a state that can be retried')
  return { rollout: view, retried: changed }
}
