import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import { z } from 'zod'
import { alarm } from '../../db/schema/alarm.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { viewAlarm } from './view.ts'

type Contract = typeof alarmContracts.listAlarms

/** Standing alarms by site, id and entity. Walks the primary key, cleared alarms included. */
export async function listAlarms(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const after = decodeCursor(z.tuple([z.string(), z.string(), z.string()]), query.cursor)
  const wanted = and(
    isNull(alarm.clearedMs),
    query.site === undefined ? undefined : eq(alarm.siteId, query.site),
    after === null ? undefined : sql`(${alarm.siteId}, ${alarm.alarmId}, ${alarm.entity}) > (${after[0]}, ${after[1]}, ${after[2]})`,
  )
  const rows = await ctx.db.orm.select().from(alarm).where(wanted).orderBy(asc(alarm.siteId), asc(alarm.alarmId), asc(alarm.entity)).limit(query.limit + 1)
  return pageOf(rows, query.limit, viewAlarm, (row) => [row.siteId, row.alarmId, row.entity])
}
