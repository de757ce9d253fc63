import { gt } from 'drizzle-orm'
import * as z from 'zod'
import { token } from '../../db/schema/operations.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { operationContracts } from '../../protocol/http/operations.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { viewToken } from './view.ts'

type Contract = typeof operationContracts.listTokens

/** Tokens in the order they were made, the revoked too. Reads one row more than it shows. */
export async function listTokens(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const [after] = decodeCursor(z.tuple([z.string()]), query.cursor) ?? ['']
  const rows = await ctx.db.orm.select().from(token).where(gt(token.id, after)).orderBy(token.id).limit(query.limit + 1)
  return pageOf(rows, query.limit, viewToken, (row) => [row.id])
}
