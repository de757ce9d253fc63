import { and, eq, gt } from 'drizzle-orm'
import { audit } from '../../db/schema/operations.ts'
import { at, type QueryOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { operationContracts } from '../../protocol/http/operations.ts'
import type { Ctx } from '../context.ts'

type Contract = typeof operationContracts.listEvents

/** Entries after `after`, oldest first; `last` is where to go on, also when nothing came. Reads at most `limit` rows, by an index. */
export async function listEvents(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const { entity, site, limit, after } = query
  const wanted = and(gt(audit.seq, after ?? 0), entity === undefined ? undefined : eq(audit.entity, entity), site === undefined ? undefined : eq(audit.siteId, site))
  const rows = await ctx.db.orm.select().from(audit).where(wanted).orderBy(audit.seq).limit(limit)
  const items = rows.map((row) => ({ seq: row.seq, at: at(row.atMs), actor: row.actor, action: row.action, entity: row.entity, site: row.siteId, why: row.why, detail: row.detail, requestId: row.requestId }))
  return { items, last: items.at(-1)?.seq ?? after ?? null }
}
