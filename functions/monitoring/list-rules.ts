import { asc, gt } from 'drizzle-orm'
import * as z from 'zod'
import { monitoringRule } from '../../db/schema/metric.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { monitoringContracts } from '../../protocol/http/monitoring.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'

type Contract = typeof monitoringContracts.listMonitoringRules

/** Rules by name. Reads along the primary key until the page is full. */
export async function listRules(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const [after] = decodeCursor(z.tuple([z.string()]), query.cursor) ?? ['']
  const rows = await ctx.db.orm.select().from(monitoringRule).where(gt(monitoringRule.name, after)).orderBy(asc(monitoringRule.name)).limit(query.limit + 1)
  return pageOf(rows, query.limit, (row) => row, (row) => [row.name])
}
