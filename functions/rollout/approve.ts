import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { changeRollout, requireLive } from './change.ts'
import { gatherRollout } from './gather.ts'

/**
 * Says that the wave after this one may open, once its other gates are passed. Without a name: the first that asks for it, or else
 * the open one that nobody is left in to prove the release. Ends a pause over that wave's threshold.
 */
export async function approveRollout(ctx: Ctx, id: string, input: { wave?: string; reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const { view } = await changeRollout(ctx, id, input.ifMatch, async (row) => {
    requireLive(row, 'approved')
    const { waves } = await gatherRollout(ctx, id)
    const unproven = waves.find((w, i) => w.state !== 'waiting' && waves[i + 1]?.state === 'waiting' && w.tally.succeeded === 0)
    const asks = (w: (typeof waves)[number]) => w.policy.approval || w.ordinal === unproven?.ordinal
    const chosen = input.wave === undefined ? waves.find((w) => asks(w) && w.approvedBy === null) : waves.find((w) => w.policy.name === input.wave)
    if (chosen === undefined) throw new FleetError('conflict', input.wave === undefined ? 'no wave of this rollout waits for approval' : `this rollout has no wave ${input.wave}`)
    if (!asks(chosen)) throw new FleetError('conflict', `wave ${chosen.policy.name} does not ask for approval`)
    if (chosen.approvedBy !== null) return null
    const pauses = row.pauses.filter((pause) => pause.reason !== 'threshold' || chosen.ordinal !== unproven?.ordinal)
    return {
      statements: [{ sql: 'UPDATE rollout SET pauses = ? WHERE id = ?', args: [JSON.stringify(pauses), id] }, { sql: 'UPDATE wave SET approved_by = ? WHERE rollout_id = ? AND ordinal = ?', args: [ctx.actor.name, id, chosen.ordinal] }],
      events: [{ action: 'wave.approve', entity: `rollout/${id}`, why: input.reason, detail: { wave: chosen.policy.name } }],
    }
  })
  return view
}
