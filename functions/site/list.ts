import { and, asc, eq, gt, ne, or, sql, type SQL } from 'drizzle-orm'
import { z } from 'zod'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { siteContracts } from '../../protocol/http/sites.ts'
import { parseSelector, type Selector } from '../../protocol/labels.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
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

function readSelector(text: string): Selector {
  try {
    return parseSelector(text)
  } catch (error) {
    const message = (error as SyntaxError).message
    throw new FleetError('bad-request', message, { errors: [{ path: 'query.labelSelector', message }] })
  }
}

/** What `selects` in protocol/labels.ts says, in SQL. Label keys cannot contain quotes, so that each is one step of a JSON path. */
function selectorConditions(selector: Selector): SQL[] {
  if (selector.all === true) return []
  const terms = selector.matchExpressions ?? []
  if (terms.length === 0) return [sql`0`]
  return terms.map((term) => {
    const value = sql`${site.labels}->>${`$."${term.key}"`}`
    switch (term.operator) {
      case 'In': return sql`${value} IN ${term.values}`
      case 'NotIn': return sql`(${value} IS NULL OR ${value} NOT IN ${term.values})`
      case 'Exists': return sql`${value} IS NOT NULL`
      case 'DoesNotExist': return sql`${value} IS NULL`
    }
  })
}
