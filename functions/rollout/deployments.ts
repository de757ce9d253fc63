import { and, asc, eq, gt, or } from 'drizzle-orm'
import * as z from 'zod'
import { deployment, wave } from '../../db/schema/rollout.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { rolloutContracts } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { loadRollout } from './change.ts'
import { viewDeployment } from './view.ts'

type Contract = typeof rolloutContracts.listDeployments
const Cursor = z.tuple([z.int(), z.string()])

/** The sites' ways through a rollout, in the order of their places. */
export async function listDeployments(ctx: Ctx, id: string, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  await loadRollout(ctx, id)
  const after = decodeCursor(Cursor, query.cursor)
  const [rows, waves] = await ctx.db.orm.batch([
    ctx.db.orm
      .select()
      .from(deployment)
      .where(
        and(
          eq(deployment.rolloutId, id),
          query.state === undefined ? undefined : eq(deployment.state, query.state),
          after === null ? undefined : or(gt(deployment.place, after[0]), and(eq(deployment.place, after[0]), gt(deployment.siteId, after[1]))),
        ),
      )
      .orderBy(asc(deployment.place), asc(deployment.siteId))
      .limit(query.limit + 1),
    ctx.db.orm.select({ ordinal: wave.ordinal, policy: wave.policy }).from(wave).where(eq(wave.rolloutId, id)),
  ])
  const names = new Map(waves.map((w) => [w.ordinal, w.policy.name]))
  return pageOf(rows, query.limit, (row) => viewDeployment(row, names), (row) => [row.place, row.siteId])
}
