import { and, eq, sql } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { release } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import { confirmRelease } from './confirm.ts'

/** Releases that one run looks at. */
const releasesPerRun = 4
/** After so many requests to the store no further release is begun: Workers count them, and one release may take 565. */
const storeRequestsPerRun = 400

/**
 * One step for each of the releases that wait longest to be checked. Reads at most 4 rows and one index, 64 listings and
 * 500 object heads for each, but begins none after `storeRequestsPerRun` requests to the store; writes at most 502 rows for each. What fails is logged, said on the release, and tried
 * again by a later run, after all others have had their turn.
 */
export async function confirmReleases(ctx: Ctx): Promise<number> {
  const rows = await ctx.db.orm.select({ id: release.id }).from(release).where(eq(release.state, 'checking')).orderBy(sql`coalesce(${release.touchedMs}, ${release.createdMs})`).limit(releasesPerRun)
  const store = countRequests(ctx.store)
  for (const { id } of rows) {
    if (store.requests() >= storeRequestsPerRun) break
    try {
      await confirmRelease({ ...ctx, store: store.counted }, id)
    } catch (error) {
      ctx.log.write('warn', 'release.unconfirmed', { release: id, cause: describeError(error) })
      await setBack(ctx, id, error)
    }
  }
  return rows.length
}

/** The store, and how many times an object was asked for through it. */
function countRequests(store: ObjectStore): { counted: ObjectStore; requests(): number } {
  let requests = 0
  const head: ObjectStore['head'] = (key) => (requests++, store.head(key))
  const get: ObjectStore['get'] = (...asked) => (requests++, store.get(...asked))
  return { counted: { ...store, head, get }, requests: () => requests }
}

/** One release whose objects the store does not give must not keep the others from being confirmed (F56). */
async function setBack(ctx: Ctx, id: string, error: unknown): Promise<void> {
  const detail = error instanceof FleetError ? `${error.message}; it is tried again` : 'it could not be checked; it is tried again'
  await ctx.db.write([statement(ctx.db.orm.update(release).set({ touchedMs: ctx.nowMs, detail: detail.slice(0, limits.reasonLengthMax) }).where(and(eq(release.id, id), eq(release.state, 'checking'))))])
}
