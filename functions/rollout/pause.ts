import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { changeRollout, requireLive } from './change.ts'

/** Gives no new grants until it is resumed; sites in flight go on. Pausing twice is the same as once. */
export async function pauseRollout(ctx: Ctx, id: string, input: { reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const { view } = await changeRollout(ctx, id, input.ifMatch, (row) => {
    requireLive(row, 'paused')
    if (row.pauses.some((pause) => pause.reason === 'operator')) return null
    const detail = input.reason === '' ? `by ${ctx.actor.name}` : `by ${ctx.actor.name}: ${input.reason}`
    return {
      statements: [{ sql: 'UPDATE rollout SET pauses = ? WHERE id = ?', args: [JSON.stringify([...row.pauses, { reason: 'operator', detail }]), id] }],
      events: [{ action: 'rollout.pause', entity: `rollout/${id}`, why: input.reason, detail: { reason: 'operator' } }],
    }
  })
  return view
}
