import { and, eq, getTableColumns, sql, type SQL } from 'drizzle-orm'
import * as z from 'zod'
import { alarm, type AlarmRow } from '../../db/schema/alarm.ts'
import { site } from '../../db/schema/fleet.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { alarmContracts } from '../../protocol/http/alarms.ts'
import { selects, type Labels } from '../../protocol/labels.ts'
import type { Presence } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOfScan } from '../http/pages.ts'
import { readSelector } from '../site/select.ts'
import { judgeAlarm } from './judge.ts'
import { viewAlarm } from './view.ts'

type Contract = typeof alarmContracts.listAlarms
type Query = QueryOf<Contract>
type Found = { row: AlarmRow; presence: Presence | null; labels: Labels | null }

const Cursor = z.tuple([z.number(), z.string(), z.string(), z.string()])
/** Alarms looked at for one page at most: twice as many as it takes, and all where labels decide, which few may fit. Each costs three rows read: of the index, of the alarm, of its site. */
const scanMax = 300

/**
 * Standing alarms, newest first. Walks one index from where the cursor left off: the site's, the id's, that of gating ones, the severity's, or that of all. The rest of
 * the question is asked of at most 300 alarms, so that a request reads fewer than 1,000 rows, however many stand; a page may be short therefore.
 */
export async function listAlarms(ctx: Ctx, query: Query): Promise<ResponseOf<Contract>> {
  const selector = query.labelSelector === undefined ? null : readSelector(query.labelSelector)
  const { index, which } = indexFor(query)
  const scan = selector === null ? Math.min(scanMax, Math.max(50, 2 * query.limit)) : scanMax
  const after = decodeCursor(Cursor, query.cursor)
  const beyond = after === null ? sql`` : sql` AND (raised_ms, site_id, alarm_id, entity) < (${after[0]}, ${after[1]}, ${after[2]}, ${after[3]})`
  const scanned = sql`(SELECT site_id, alarm_id, entity FROM alarm INDEXED BY ${sql.raw(index)} WHERE ${which} AND cleared_ms IS NULL${beyond} ORDER BY raised_ms DESC, site_id DESC, alarm_id DESC, entity DESC LIMIT ${scan}) AS scanned`
  const rows: Found[] = await ctx.db.orm
    .select({ row: getTableColumns(alarm), presence: site.presence, labels: site.labels })
    .from(scanned)
    .crossJoin(alarm) // in SQLite this fixes the order: what was scanned first
    .leftJoin(site, eq(site.id, alarm.siteId))
    .where(and(sql`${alarm.siteId} = scanned.site_id`, sql`${alarm.alarmId} = scanned.alarm_id`, sql`${alarm.entity} = scanned.entity`))
  const isWanted = ({ row, presence, labels }: Found): boolean =>
    (query.alarmId === undefined || row.alarmId === query.alarmId) &&
    (query.severity === undefined || row.severity === query.severity) &&
    (query.gating === undefined || row.gating === query.gating) &&
    (selector === null || (labels !== null && selects(selector, { id: row.siteId, labels }))) &&
    (query.all === true || judgeAlarm(row, presence) === 'active')
  return pageOfScan(rows, { limit: query.limit, scanMax: scan, isWanted, view: ({ row, presence }) => viewAlarm(row, presence, ctx.nowMs), keyOf: ({ row }) => [row.raisedMs, row.siteId, row.alarmId, row.entity] })
}

/** The index whose first column narrows the question most. */
function indexFor(query: Query): { index: string; which: SQL } {
  if (query.site !== undefined) return { index: 'alarm_standing_site', which: sql`site_id = ${query.site}` }
  if (query.alarmId !== undefined) return { index: 'alarm_standing_id', which: sql`alarm_id = ${query.alarmId}` }
  if (query.gating === true) return { index: 'alarm_standing_gating', which: sql`gating = 1` }
  if (query.severity !== undefined) return { index: 'alarm_standing_severity', which: sql`severity = ${query.severity}` }
  return { index: 'alarm_standing', which: sql`true` }
}
