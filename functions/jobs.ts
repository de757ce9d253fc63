import { sealAudit } from './audit/seal.ts'
import { newContext, type Ctx, type Deps } from './context.ts'
import { dispatchDirectives } from './directive/dispatch.ts'
import { expireIdempotency } from './http/idempotency.ts'
import { confirmReleases } from './release/confirm-all.ts'
import { tickRollouts } from './rollout/tick.ts'

/** Scheduled work. Each run is bounded (its verb says how many rows), harmless to repeat, to overlap and to leave out (F48). */
export type Job = { name: string; everyMs: number; run(): Promise<unknown> }

export function createJobs(deps: Deps): Job[] {
  const job = (name: string, everyMs: number, verb: (ctx: Ctx) => Promise<unknown>): Job => ({
    name, everyMs, run: () => verb(newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(deps.clock.nowMs()))),
  })
  return [
    job('tick-rollouts', 5_000, tickRollouts),
    job('dispatch-directives', 5_000, dispatchDirectives),
    job('confirm-releases', 2_000, confirmReleases),
    job('seal-audit', 60_000, sealAudit),
    job('expire-idempotency', 3_600_000, expireIdempotency),
  ]
}
