import { eq } from 'drizzle-orm'
import { release } from '../../db/schema/release.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import { confirmRelease } from './confirm.ts'

/** Releases that one run looks at. */
const releasesPerRun = 4

/**
 * One step for each of the oldest releases that are being checked. Reads at most 4 rows and one index, 64 listings and
 * 500 object heads for each; writes at most 502 rows for each. What fails is logged and tried again by the next run.
 */
export async function confirmReleases(ctx: Ctx): Promise<number> {
  const rows = await ctx.db.orm.select({ id: release.id }).from(release).where(eq(release.state, 'checking')).orderBy(release.createdMs).limit(releasesPerRun)
  for (const { id } of rows) {
    try {
      await confirmRelease(ctx, id)
    } catch (error) {
      ctx.log.write('warn', 'release.unconfirmed', { release: id, cause: describeError(error) })
    }
  }
  return rows.length
}
