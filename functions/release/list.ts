import { and, desc, eq, sql } from 'drizzle-orm'
import * as z from 'zod'
import { release } from '../../db/schema/release.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { releaseContracts } from '../../protocol/http/releases.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { viewRelease } from './view.ts'

type Contract = typeof releaseContracts.listReleases

/** Releases, newest first. */
export async function listReleases(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const before = decodeCursor(z.tuple([z.int(), z.string()]), query.cursor)
  const wanted = and(
    query.name === undefined ? undefined : eq(release.name, query.name),
    before === null ? undefined : sql`(${release.createdMs}, ${release.id}) < (${before[0]}, ${before[1]})`,
  )
  const rows = await ctx.db.orm.select().from(release).where(wanted).orderBy(desc(release.createdMs), desc(release.id)).limit(query.limit + 1)
  return pageOf(rows, query.limit, viewRelease, (row) => [row.createdMs, row.id])
}
