import { eq, sql } from 'drizzle-orm'
import { GuardLost, type Statement } from '../../db/client.ts'
import { setting } from '../../db/schema/operations.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { slotOf } from '../metric/ring.ts'
import { offlineText } from './record-presence.ts'

const pageSize = 1000
/** From the beginning of one walk through the fleet to that of the next. */
const walkEveryMs = 15 * 60_000
/** Two periods without metrics, and what a block may take on its way: its site waits up to a minute with it. */
const silentMsMax = 2 * limits.metricBlockMs + 3 * 60_000
/** A controller that did not run for so long may have missed what was sent meanwhile: it blames no site before it has listened for as long as a site may be silent. */
const gapMsMax = walkEveryMs + 5 * 60_000
/** A site that was just enrolled has so long for its first hello. */
const firstHelloMs = 5 * 60_000

/** How far the walk has come: `after` is the last site looked at, null between two walks. */
type Walk = { after: string | null; beganMs: number; lastMs: number; listeningSinceMs: number }
const walkKey = 'watch-presence'

/**
 * Walks through the enrolled sites, `pageSize` in each run: one that counts as connected and has sent no metrics for two periods becomes `suspect`, and alarms say
 * who is offline or suspect where the report that made it so did not. Reads a site, up to six blocks of metrics and three alarms for each; writes one row, and those that are news. Between two walks
 * it reads one row. Two runs at once, or one killed, change nothing twice (F48).
 */
export async function watchPresence(ctx: Ctx): Promise<void> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, walkKey))
  const before = (row?.value ?? null) as Walk | null
  const isResting = before !== null && before.after === null && ctx.nowMs < before.beganMs + walkEveryMs
  if (isResting) return
  const listeningSinceMs = before === null || ctx.nowMs > before.lastMs + gapMsMax ? ctx.nowMs : before.listeningSinceMs
  const from = before?.after ?? ''
  const ids = await ctx.db.orm.all<{ id: string }>(sql`SELECT id FROM site WHERE id > ${from} AND state = 'enrolled' ORDER BY id LIMIT ${pageSize}`)
  const last = ids.at(-1)?.id ?? from
  const walk: Walk = { after: ids.length < pageSize ? null : last, beganMs: from === '' ? ctx.nowMs : before!.beganMs, lastMs: ctx.nowMs, listeningSinceMs }
  const page = { sql: `site.id > ? AND site.id <= ? AND site.state = 'enrolled'`, args: [from, last] }
  try {
    await ctx.db.write(
      [
        ...(listeningSinceMs + silentMsMax <= ctx.nowMs ? [suspectStatement(ctx, page)] : []),
        ...conditionStatements(ctx, page),
        { sql: 'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', args: [walkKey, JSON.stringify(walk)] },
      ],
      [{ sql: `SELECT value FROM setting WHERE key = '${walkKey}'`, args: [], is: before === null ? null : JSON.stringify(before) }],
    )
  } catch (error) {
    // another run has looked at the same sites
    if (!(error instanceof GuardLost)) throw error
  }
}

/**
 * The blocks of the last periods lie in a few slots of a site's ring, and what matters of them is when they came. A site whose clock is known to be wrong puts them
 * into others, and one that never sent any does not send them.
 */
function suspectStatement(ctx: Ctx, page: Statement): Statement {
  const sinceMs = ctx.nowMs - silentMsMax
  const slots = [0, 1, 2, 3].map((periods) => slotOf(ctx.nowMs - periods * limits.metricBlockMs)).join(', ')
  return {
    sql: `UPDATE site SET presence = 'suspect' WHERE ${page.sql} AND presence = 'online' AND protocol_max >= 2 AND coalesce(last_seen_ms, 0) < ?
            AND EXISTS (SELECT 1 FROM metric_block b WHERE b.site_id = site.id)
            AND NOT EXISTS (SELECT 1 FROM metric_block b WHERE b.site_id = site.id AND b.slot IN (${slots}) AND b.received_ms >= ?)
            AND NOT EXISTS (SELECT 1 FROM alarm a WHERE a.site_id = site.id AND a.alarm_id = '${alarmIds.clockSkew}' AND a.entity = 'site' AND a.cleared_ms IS NULL)`,
    args: [...page.args, sinceMs, sinceMs],
  }
}

/** Who was offline before there were alarms, or somebody took the alarm away from, has it from here. */
function conditionStatements(ctx: Ctx, page: Statement): Statement[] {
  const all = `SELECT site.id AS site_id, a.value->>0 AS alarm_id, 'site' AS entity`
  const rows = JSON.stringify([[alarmIds.siteOffline, 'offline', 'major', offlineText], [alarmIds.siteSuspect, 'suspect', 'minor', 'it has sent no metrics for two periods, and no last will came']])
  const settled = `site.presence <> 'unknown'`
  return [
    ...raiseConditions(ctx, {
      sql: `${all}, a.value->>2 AS severity, a.value->>3 AS text FROM site, json_each(?) AS a WHERE ${page.sql} AND site.presence = a.value->>1 AND coalesce(site.last_seen_ms, site.created_ms) < ?`,
      args: [rows, ...page.args, ctx.nowMs - firstHelloMs],
    }),
    ...clearConditions(ctx, { sql: `${all} FROM site, json_each(?) AS a WHERE ${page.sql} AND site.presence <> a.value->>1 AND ${settled}`, args: [rows, ...page.args] }),
  ]
}
