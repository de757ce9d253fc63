import { GuardLost } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { applyDecision } from './apply.ts'
import { decideRollout, type RolloutStep } from './decide.ts'
import { gatherRollout } from './gather.ts'

/** Passes in one invocation: each can open a wave, unpark sites or fill places that the one before made. */
const passesMax = 12

/** What one invocation may still spend on rollouts, over all that it advances: Workers count round trips, and a pass is at most six. */
export type Allowance = { passes: number }
export const newAllowance = (): Allowance => ({ passes: limits.advancePassesMax })

/**
 * Gather, decide, apply, until there is nothing left to do now. The only place where the three meet. A lost guard
 * re-gathers; whoever won has done at least part of the work. Where the
 * allowance ends, the rollout is due at the next tick.
 */
export async function advanceRollout(ctx: Ctx, rolloutId: string, allowance: Allowance = newAllowance()): Promise<readonly RolloutStep[]> {
  const taken: RolloutStep[] = []
  let lost = 0
  for (let pass = 0; pass < passesMax && allowance.passes > 0; pass++, allowance.passes--) {
    const snapshot = await gatherRollout(ctx, rolloutId, pass)
    const decision = decideRollout(snapshot, ctx.nowMs)
    try {
      await applyDecision(ctx, snapshot, decision)
    } catch (error) {
      if (!(error instanceof GuardLost) || ++lost >= limits.casAttemptsMax) throw error
      continue
    }
    taken.push(...decision.steps)
    if (decision.steps.length === 0) break
  }
  return taken
}
