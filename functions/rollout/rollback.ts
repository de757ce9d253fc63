import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { RolloutPolicy } from '../../protocol/policy.ts'
import type { Ctx } from '../context.ts'
import { abortRollout } from './abort.ts'
import { loadRollout } from './change.ts'
import { createRollout } from './create.ts'

/**
 * Returns each site that a rollout touched to the release it was granted from, as a rollout of its own. One that still runs is first
 * aborted (`finish`), so that it does not go on beside its own return. Without a policy: one wave, with the limits of the original.
 */
export async function rollbackRollout(ctx: Ctx, id: string, input: { policy?: RolloutPolicy; reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const row = await loadRollout(ctx, id)
  if (input.ifMatch !== null && row.version !== input.ifMatch) throw new FleetError('precondition-failed', `rollout ${id} is at version ${row.version}, not ${input.ifMatch}`)
  const { maxParallel, groupBy, maxDuration, startWithin, failureThreshold, priority } = row.policy
  const policy = input.policy ?? RolloutPolicy.parse({ waves: [{ name: 'all', size: 'rest' }], maxParallel, groupBy, maxDuration, startWithin, failureThreshold, priority: Math.min(1000, priority + 1) })
  if (row.state === 'scheduled' || row.state === 'running' || row.state === 'completed') await abortRollout(ctx, id, { mode: 'finish', reason: `rolled back: ${input.reason}`, ifMatch: null })
  return createRollout(ctx, { name: `return from ${row.name}`, target: { previousOf: row.id as never }, selector: { all: true }, policy, replaces: [] })
}
