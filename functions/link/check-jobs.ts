import { noteEveryMs, versionsAtWork } from '../../db/versions-at-work.ts'
import type { Ctx } from '../context.ts'
import { failing, working, type Check, type Finding } from './finding.ts'

const cures = {
  node: 'the process that answers should run them itself; its log says why not under `job.failed`',
  worker: '`wrangler.toml` needs `[triggers] crons = ["* * * * *"]` and a deploy after it; the Worker\'s log says under `job.failed` what went wrong',
} as const

/** It is noted every ten minutes; one that was missed proves nothing. */
const silentMsMax = 2.5 * noteEveryMs

/** When scheduled work last ran, by any version of the functions. Reads one row. */
async function look(ctx: Ctx): Promise<Finding[]> {
  const cure = cures[ctx.config.host]
  const [last] = await versionsAtWork(ctx.db)
  if (last === undefined) return [failing('cron', 'scheduled work never ran: nothing expires, no wave opens by time, no upload is confirmed', `${cure}. Right after the first deploy: ask again in two minutes`)]
  const minutes = Math.round((ctx.nowMs - last.atMs) / 60_000)
  if (ctx.nowMs - last.atMs > silentMsMax) return [failing('cron', `scheduled work last ran ${minutes} minutes ago`, cure)]
  return [working('cron', `scheduled work was noted ${minutes} minutes ago, by version ${last.version}`)]
}

export const checkJobs: Check = { link: 'cron', cure: 'see what is wrong with the database first', withinMs: 5000, look }
