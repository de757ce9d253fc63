import type { Statement } from '../../db/client.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { failureStates, type DeploymentState } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { changeRollout, requireLive } from './change.ts'
import { gatingSince } from './gather.ts'
import { listOf } from './move.ts'

const countOf = (states: readonly DeploymentState[]) => `coalesce((SELECT sum(n) FROM counter WHERE counter.rollout_id = wave.rollout_id AND counter.wave = wave.ordinal AND state IN (${listOf(states)})), 0)`

/** The alarms over which it paused, and those of their kind that came since. */
const acknowledgeAlarms = (ctx: Ctx, id: string): Statement => ({
  sql: `UPDATE alarm SET acknowledged_ms = ?, acknowledged_by = ?, acknowledged_note = ?, changed_ms = ?, changed_by = ?, note = ?
        WHERE (site_id, alarm_id, entity) IN (SELECT a.site_id, a.alarm_id, a.entity FROM alarm a CROSS JOIN deployment d WHERE ${gatingSince} AND d.rollout_id = ?)`,
  args: [ctx.nowMs, ctx.actor.name, `rollout ${id} resumed`, ctx.nowMs, ctx.actor.name, `rollout ${id} resumed`, id],
})

/** Empties the set of pauses and acknowledges the failures and the alarms seen so far: only later ones stop it again. */
export async function resumeRollout(ctx: Ctx, id: string, input: { reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const { view } = await changeRollout(ctx, id, input.ifMatch, (row) => {
    requireLive(row, 'resumed')
    if (row.pauses.length === 0) return null
    return {
      statements: [
        { sql: `UPDATE rollout SET pauses = '[]' WHERE id = ?`, args: [id] },
        { sql: `UPDATE wave SET failures_acknowledged = ${countOf(failureStates)}, executed_acknowledged = ${countOf([...failureStates, 'succeeded'])} WHERE rollout_id = ?`, args: [id] },
        ...(row.pauses.some(({ reason }) => reason === 'alarm') ? [acknowledgeAlarms(ctx, id)] : []),
      ],
      events: [{ action: 'rollout.resume', entity: `rollout/${id}`, why: input.reason, detail: { acknowledged: row.pauses } }],
    }
  })
  return view
}
