import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'

/** As many connections as a Worker may have open at once. */
const headsInFlight = 6

/** The stored size of each object, null where there is none. One request to the store each; an error of the store is the caller's. */
export async function headObjects(ctx: Pick<Ctx, 'store'>, digests: readonly string[]): Promise<Map<string, number | null>> {
  const sizes = new Map<string, number | null>()
  const queue = digests[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (const digest of queue) sizes.set(digest, (await ctx.store.head(storeKeys.object(digest)))?.size ?? null)
  }
  await Promise.all(Array.from({ length: headsInFlight }, work))
  return sizes
}
