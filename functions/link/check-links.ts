import { at } from '../../protocol/http/contract.ts'
import type { linkContracts } from '../../protocol/http/links.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import type { Ctx } from '../context.ts'
import { checkBacklog } from './check-backlog.ts'
import { checkBroker } from './check-broker.ts'
import { checkClock, checkDatabase, checkMigrations } from './check-database.ts'
import { checkJobs } from './check-jobs.ts'
import { checkKeys } from './check-keys.ts'
import { checkStore, trialObject } from './check-store.ts'
import { runCheck } from './finding.ts'

type Answer = ResponseOf<typeof linkContracts.checkLinks>

const checks = [checkStore, checkDatabase, checkMigrations, checkBroker, checkJobs, checkKeys, checkClock, checkBacklog]
const downloadLifeMs = 5 * 60_000

/**
 * Uses every link of the controller once, from where it is used. Side by side, each bounded and failing alone; the whole takes
 * at most as long as the slowest, some 13 s. Writes two rows, one object and one message.
 */
export async function checkLinks(ctx: Ctx): Promise<Answer> {
  const found = (await Promise.all(checks.map((check) => runCheck(ctx, check)))).flat()
  const stored = found.some(({ link, state }) => link === 'store' && state === 'ok')
  return { time: at(ctx.clock.nowMs()), version: ctx.config.version, host: ctx.config.host, checks: found, download: stored ? await signTrial(ctx).catch(() => null) : null }
}

/** For the caller to fetch from outside, as agents fetch. */
async function signTrial(ctx: Ctx): Promise<NonNullable<Answer['download']>> {
  const { key, sha256 } = await trialObject(ctx)
  const { expiresAtMs, ...request } = await ctx.store.signGet(key, downloadLifeMs)
  return { request: { ...request, expiresAt: at(expiresAtMs) }, sha256 }
}
