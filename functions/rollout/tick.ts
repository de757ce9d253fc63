import { and, asc, isNotNull, lte, sql } from 'drizzle-orm'
import { GuardLost, type Statement } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import { rollout } from '../../db/schema/rollout.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { dispatchDirectives } from '../directive/dispatch.ts'
import { doubtedKey } from '../ingest/doubt-presence.ts'
import { offlineText } from '../ingest/record-presence.ts'
import { advanceRollout, newAllowance } from './advance.ts'

/** After so long without a hello, a site whose presence is unknown counts as offline; from when it came to be unknown. */
const presenceGraceMs = 5 * 60_000

/**
 * The schedule's part: advances the rollouts whose time has come, at most `rolloutsPerTickMax` in `advancePassesMax` passes, and sends what they decided. Everything else is
 * driven by reports. Two ticks at once, or one killed half-way, change nothing twice: advance is guarded (F48).
 * Reads three index entries when nothing is due.
 */
export async function tickRollouts(ctx: Ctx): Promise<{ advanced: number }> {
  const { orm } = ctx.db
  const [due, missed] = await orm.batch([
    orm.select({ id: rollout.id }).from(rollout).where(and(isNotNull(rollout.wakeMs), lte(rollout.wakeMs, ctx.nowMs))).orderBy(asc(rollout.wakeMs)).limit(limits.rolloutsPerTickMax),
    orm.select({ id: site.id }).from(site).where(sql.raw(isMissed(ctx))).limit(1),
  ])
  await ctx.db.write([...(missed.length > 0 ? missedStatements(ctx) : []), { sql: `DELETE FROM directive WHERE expires_ms < ?`, args: [ctx.nowMs - limits.commandLifeMs] }])
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

/** A site of unknown presence that has had its time. */
const isMissed = ({ nowMs }: Ctx): string =>
  `presence = 'unknown' AND coalesce(last_seen_ms, 0) < ${nowMs - presenceGraceMs} AND state = 'enrolled' AND coalesce((SELECT value->>'atMs' FROM setting WHERE key = '${doubtedKey}'), 0) < ${nowMs - presenceGraceMs}`

/** The alarm goes before the move: only then is it true exactly once. */
const missedStatements = (ctx: Ctx): Statement[] => [
  ...raiseConditions(ctx, { sql: `SELECT id AS site_id, '${alarmIds.siteOffline}' AS alarm_id, 'site' AS entity, 'major' AS severity, '${offlineText}' AS text FROM site WHERE ${isMissed(ctx)}`, args: [] }),
  { sql: `UPDATE site SET presence = 'offline' WHERE ${isMissed(ctx)}`, args: [] },
]
