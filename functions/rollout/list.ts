import { and, desc, eq, lt } from 'drizzle-orm'
import * as z from 'zod'
import { rollout } from '../../db/schema/rollout.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { rolloutContracts } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { viewRollouts } from './view.ts'

type Contract = typeof rolloutContracts.listRollouts
const Cursor = z.tuple([z.string()])

/** Rollouts, newest first: their ids sort by time. Reads one page of rows and what belongs to them. */
export async function listRollouts(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const before = decodeCursor(Cursor, query.cursor)
  const rows = await ctx.db.orm
    .select()
    .from(rollout)
    .where(and(query.state === undefined ? undefined : eq(rollout.state, query.state), before === null ? undefined : lt(rollout.id, before[0])))
    .orderBy(desc(rollout.id))
    .limit(query.limit + 1)
  const views = new Map((await viewRollouts(ctx, rows.slice(0, query.limit))).map((view) => [view.id as string, view]))
  return pageOf(rows, query.limit, (row) => views.get(row.id)!, (row) => [row.id])
}
