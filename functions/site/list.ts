import { and, asc, eq, gt, ne, or, sql } from 'drizzle-orm'
import * as z from 'zod'
import { site } from '../../db/schema/fleet.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { siteContracts } from '../../protocol/http/sites.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { readSelector, selectorConditions } from './select.ts'
import { viewSite } from './view.ts'

type Contract = typeof siteContracts.listSites

/** Sites by name; removed ones are not listed. Reads along the primary key until the page is full. */
export async function listSites(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const [after] = decodeCursor(z.tuple([z.string()]), query.cursor) ?? ['']
  const wanted = and(
    gt(site.id, after),
    ne(site.state, 'removed'),
    query.presence === undefined ? undefined : eq(site.presence, query.presence),
    query.release === undefined ? undefined : or(sql`${site.running}->>'id' = ${query.release}`, sql`${site.running}->>'digest' = ${query.release}`),
    ...(query.labelSelector === undefined ? [] : selectorConditions(readSelector(query.labelSelector))),
  )
  const rows = await ctx.db.orm.select().from(site).where(wanted).orderBy(asc(site.id)).limit(query.limit + 1)
  return pageOf(rows, query.limit, viewSite, (row) => [row.id])
}
