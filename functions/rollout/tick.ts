import { and, asc, isNotNull, lte } from 'drizzle-orm'
import { GuardLost } from '../../db/client.ts'
import { rollout } from '../../db/schema/rollout.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { dispatchDirectives } from '../directive/dispatch.ts'
import { advanceRollout, newAllowance } from './advance.ts'

/** After so long without a hello, a site whose presence is unknown counts as offline. */
const presenceGraceMs = 5 * 60_000

/**
 * The schedule's part: advances the rollouts whose time has come, at most `rolloutsPerTickMax` in `advancePassesMax` passes, and sends what they decided. Everything else is
 * driven by reports. Two ticks at once, or one killed half-way, change nothing twice: advance is guarded (F48).
 * Reads one index entry when nothing is due.
 */
export async function tickRollouts(ctx: Ctx): Promise<{ advanced: number }> {
  await ctx.db.write([
    { sql: `UPDATE site SET presence = 'offline' WHERE presence = 'unknown' AND coalesce(last_seen_ms, 0) < ? AND state = 'enrolled'`, args: [ctx.nowMs - presenceGraceMs] },
    { sql: `DELETE FROM directive WHERE expires_ms < ?`, args: [ctx.nowMs - limits.commandLifeMs] },
  ])
  const due = await ctx.db.orm.select({ id: rollout.id }).from(rollout).where(and(isNotNull(rollout.wakeMs), lte(rollout.wakeMs, ctx.nowMs))).orderBy(asc(rollout.wakeMs)).limit(limits.rolloutsPerTickMax)
  const allowance = newAllowance()
  let advanced = 0
  for (const { id } of due) {
    if (allowance.passes <= 0) break
    try {
      await advanceRollout(ctx, id, allowance)
      advanced++
    } catch (error) {
      // somebody else is advancing it, or it alone is broken: the others go on
      if (!(error instanceof GuardLost)) ctx.log.write('error', 'rollout.advance-failed', { rollout: id, error: String(error), requestId: ctx.requestId })
    }
  }
  if (advanced > 0) await dispatchDirectives(ctx)
  return { advanced }
}
