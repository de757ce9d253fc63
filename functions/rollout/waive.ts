import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { changeRollout } from './change.ts'
import { moveDeployments } from './move.ts'
import { settleOutcomes } from './note-outcomes.ts'

/**
 * Takes failed, lost, parked or needs-hands sites out of the count; a `needs-hands` site gives its place free, also after the rollout has
 * ended. What the site runs does not change.
 */
export async function waiveDeployments(ctx: Ctx, id: string, input: { sites: readonly string[]; reason: string; ifMatch: number | null }): Promise<{ rollout: RolloutView; waived: number }> {
  const { view, changed } = await changeRollout(ctx, id, input.ifMatch, () => ({
      statements: [
        moveDeployments(id, 'waive', input.sites.map((siteId) => ({ siteId, why: `waived by ${ctx.actor.name}: ${input.reason}` })), ctx.nowMs),
        ...settleOutcomes(ctx, { sql: 'SELECT value FROM json_each(?)', args: [JSON.stringify(input.sites)] }),
      ],
      events: input.sites.map((siteId) => ({ action: 'deployment.waive', entity: `rollout/${id}`, siteId, why: input.reason })),
    }))
  if (changed === 0) throw new FleetError('conflict', 'none of these sites is in a state that can be waived')
  return { rollout: view, waived: changed }
}
