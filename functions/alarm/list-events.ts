import { getTableColumns, sql, type SQL } from 'drizzle-orm'
import * as z from 'zod'
import { alarmEvent, type AlarmEventRow } from '../../db/schema/alarm.ts'
import { at, type QueryOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { AlarmEventView, alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOfScan } from '../http/pages.ts'

type Contract = typeof alarmContracts.listAlarmEvents
type Query = QueryOf<Contract>

const Cursor = z.tuple([z.number(), z.number()])
/** Entries looked at for one page at most: twice as many as it takes, and all where an id or an entity is sought. Each costs two rows read: of the index, and the entry. */
const scanMax = 400

/** What happened to alarms, newest first. Walks the index of the site, else of time, within the times asked for; the rest is asked of at most 400 entries, so that a page may be short. */
export async function listAlarmEvents(ctx: Ctx, query: Query): Promise<ResponseOf<Contract>> {
  const { index, which } = indexFor(query)
  const scan = query.entity === undefined && query.alarmId === undefined ? Math.min(scanMax, Math.max(50, 2 * query.limit)) : scanMax
  const after = decodeCursor(Cursor, query.cursor)
  const from = query.from === undefined ? sql`` : sql` AND at_ms >= ${Date.parse(query.from)}`
  const walk = (when: SQL): SQL => sql`SELECT seq FROM (SELECT seq FROM alarm_event INDEXED BY ${sql.raw(index)} WHERE ${which}${from} AND ${when} ORDER BY at_ms DESC, seq DESC LIMIT ${scan})`
  const before = (timeMs: number): SQL => walk(sql`at_ms < ${timeMs}`)
  // of what happened at the moment where the last page ended, only what is left: an index alone cannot tell both at once
  const left = after === null ? before(query.to === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(query.to)) : sql`${walk(sql`at_ms = ${after[0]} AND seq < ${after[1]}`)} UNION ALL ${before(after[0])}`
  const rows = await ctx.db.orm.select(getTableColumns(alarmEvent)).from(sql`(${left} LIMIT ${scan}) AS scanned`).crossJoin(alarmEvent).where(sql`${alarmEvent.seq} = scanned.seq`)
  const isWanted = (row: AlarmEventRow): boolean => (query.alarmId === undefined || row.alarmId === query.alarmId) && (query.entity === undefined || row.entity === query.entity)
  return pageOfScan(rows, { limit: query.limit, scanMax: scan, isWanted, view: viewEvent, keyOf: (row) => [row.atMs, row.seq] })
}

function indexFor(query: Query): { index: string; which: SQL } {
  if (query.site !== undefined) return { index: 'alarm_event_site', which: sql`site_id = ${query.site}` }
  return { index: 'alarm_event_time', which: sql`true` }
}

const viewEvent = (row: AlarmEventRow): AlarmEventView => ({
  seq: row.seq, at: at(row.atMs), site: row.siteId as AlarmEventView['site'], alarmId: row.alarmId, entity: row.entity, change: row.change,
  severity: row.severity, text: row.text, silenced: row.silenced, by: row.actor, note: row.note,
})
