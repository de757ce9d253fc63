import { findDatabaseFault } from '../db/database-fault.ts'
import { noteAtWork, noteEveryMs, versionsAtWork } from '../db/versions-at-work.ts'
import { announceAlarms } from './alarm/announce.ts'
import { endShelves } from './alarm/end-shelves.ts'
import { expireAlarms } from './alarm/expire.ts'
import { settleAlarms } from './alarm/settle.ts'
import { sealAudit } from './audit/seal.ts'
import { newContext, type Ctx, type Deps } from './context.ts'
import { dispatchDirectives } from './directive/dispatch.ts'
import { describeError } from './http/describe-error.ts'
import { expireIdempotency } from './http/idempotency.ts'
import { watchPresence } from './ingest/watch-presence.ts'
import { watchLinks } from './link/watch-links.ts'
import { expireMetrics } from './metric/expire.ts'
import { packMetrics } from './metric/pack.ts'
import { settleMonitoring } from './monitoring/settle.ts'
import type { Log } from './ports/log.ts'
import { confirmReleases } from './release/confirm-all.ts'
import { removeObjects } from './release/remove-objects.ts'
import { sweepUploads } from './release/sweep-uploads.ts'
import { tickRollouts } from './rollout/tick.ts'
import { expireDeliveries } from './webhook/expire-deliveries.ts'
import { runWebhooks } from './webhook/run.ts'

/** Scheduled work. Each run is bounded (its verb says how many rows), harmless to repeat, to overlap and to leave out (F48). */
export type Job = { name: string; everyMs: number; run(): Promise<unknown> }

export function createJobs(deps: Deps): Job[] {
  const job = (name: string, everyMs: number, verb: (ctx: Ctx) => Promise<unknown>): Job => ({
    name, everyMs, run: () => verb(newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(deps.clock.nowMs()))),
  })
  return [
    job('tick-rollouts', 5_000, tickRollouts),
    job('settle-monitoring', 5_000, settleMonitoring),
    job('dispatch-directives', 5_000, dispatchDirectives),
    job('confirm-releases', 2_000, confirmReleases),
    job('remove-objects', 60_000, removeObjects),
    job('watch-presence', 60_000, watchPresence),
    job('watch-links', 60_000, watchLinks),
    job('end-shelves', 60_000, endShelves),
    job('settle-alarms', 60_000, settleAlarms),
    job('announce-alarms', 60_000, announceAlarms),
    job('expire-alarms', 60_000, expireAlarms),
    job('pack-metrics', 60_000, packMetrics),
    job('expire-metrics', 3_600_000, expireMetrics),
    job('sweep-uploads', 3_600_000, sweepUploads),
    job('seal-audit', 60_000, sealAudit),
    job('expire-idempotency', 3_600_000, expireIdempotency),
    job('expire-deliveries', 3_600_000, expireDeliveries),
    // behind whatever may have something to tell: on Workers one run is one job after the other
    job('run-webhooks', 5_000, runWebhooks),
    job('note-at-work', 60_000, noteThatJobsRun),
  ]
}

/** Runs one. It fails without harm: what it did not do is done by its next run, and one that fails keeps no other from running. */
export async function runJob(job: Job, log: Log): Promise<void> {
  await job.run().catch((error: unknown) => log.write('error', 'job.failed', { job: job.name, cause: findDatabaseFault(error)?.message ?? describeError(error) }))
}

/** Leaves a sign that scheduled work runs, and in which version. Reads one row; writes one every ten minutes. */
async function noteThatJobsRun(ctx: Ctx): Promise<void> {
  const noted = await versionsAtWork(ctx.db)
  if (noted.some(({ version, atMs }) => version === ctx.config.version && atMs > ctx.nowMs - noteEveryMs)) return
  await ctx.db.write([noteAtWork(ctx.config.version, ctx.nowMs)])
}
