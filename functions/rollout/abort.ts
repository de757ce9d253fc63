import { and, eq, inArray } from 'drizzle-orm'
import { release } from '../../db/schema/release.ts'
import { deployment, type RolloutRow } from '../../db/schema/rollout.ts'
import type { abortModes } from '../../protocol/directives.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import { limits } from '../../protocol/limits.ts'
import { irreversibleComponents } from '../../protocol/manifest.ts'
import { failureStates } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { issueAborts } from '../directive/issue.ts'
import { changeRollout, nextRolloutState } from './change.ts'
import { listOf, movableBy, nextState } from './move.ts'
import { settleOutcomes } from './note-outcomes.ts'

export type AbortMode = (typeof abortModes)[number]

/**
 * Ends a rollout. What has not started never will; sites in flight finish, stop at a safe point, or go back, and each
 * acknowledges. A stronger mode may follow a weaker one while it is aborting.
 */
export async function abortRollout(ctx: Ctx, id: string, input: { mode: AbortMode; reason: string; ifMatch: number | null }): Promise<RolloutView> {
  const { view } = await changeRollout(ctx, id, input.ifMatch, async (row) => {
    if (row.state === 'aborting' && row.abortMode === input.mode) return null
    const state = row.state === 'aborting' ? 'aborting' : nextRolloutState(row, 'abort')
    if (input.mode === 'revert') await refuseIrreversible(ctx, row)
    return {
      statements: [
        { sql: `UPDATE rollout SET state = ?, abort_mode = ?, pauses = '[]' WHERE id = ?`, args: [state, input.mode, id] },
        {
          sql: `UPDATE deployment SET state = ${nextState(`'cancel'`)}, why = ?, ended_ms = ?, updated_ms = ? WHERE rollout_id = ? AND state IN (${movableBy('cancel')})`,
          args: ['the rollout was aborted', ctx.nowMs, ctx.nowMs, id],
        },
        ...settleOutcomes(ctx, { sql: `SELECT site_id FROM deployment WHERE rollout_id = ? AND state IN (${listOf(failureStates)})`, args: [id] }),
        ...(input.mode === 'finish' ? [] : await abortsInFlight(ctx, id, input.mode)),
      ],
      events: [{ action: 'rollout.abort', entity: `rollout/${id}`, why: input.reason, detail: { mode: input.mode } }],
    }
  })
  return view
}

/** Reads at most `maxParallel` deployments: those that hold a grant. */
async function abortsInFlight(ctx: Ctx, id: string, mode: 'safe-point' | 'revert') {
  const rows = await ctx.db.orm.select({ siteId: deployment.siteId, attempt: deployment.attempt }).from(deployment).where(and(eq(deployment.rolloutId, id), inArray(deployment.state, ['granted', 'running'])))
  const aborts = rows.map((row) => ({ ...row, deployment: `${id}:${row.siteId}`, commandId: `cm_${ctx.ids.sortable(ctx.nowMs)}` }))
  return issueAborts(ctx, aborts, mode, ctx.nowMs + limits.commandLifeMs)
}

async function refuseIrreversible(ctx: Ctx, row: RolloutRow): Promise<void> {
  if (row.release === null) return
  const [found] = await ctx.db.orm.select({ manifest: release.manifest }).from(release).where(eq(release.digest, row.release.digest))
  const components = found === undefined ? [] : irreversibleComponents(found.manifest)
  if (components.length > 0) throw new FleetError('conflict', `${row.release.id} cannot be undone (${components.join(', ')}): abort with safe-point or finish`, { reason: 'irreversible' })
}
