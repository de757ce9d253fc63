import type { ReleaseRow } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import { at, type BodyOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { releaseContracts } from '../../protocol/http/releases.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import { claimObjects } from './claim-objects.ts'
import { headObjects } from './head-objects.ts'
import { requireKept } from './load.ts'

type Contract = typeof releaseContracts.signUploads

/**
 * Which objects the store has, and for each other a signed request under which it takes exactly these bytes. All of them
 * belong to the release from here on, so that what is there stays there. Throws `conflict` for a release that takes none.
 */
export async function signUploads(ctx: Ctx, id: string, { objects }: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  requireTaking(await requireKept(ctx, id))
  await claimObjects(ctx, id, objects)
  const stored = await headObjects(ctx, objects.map(({ digest }) => digest))
  return {
    objects: await Promise.all(objects.map(async ({ digest, size }) => {
      if (stored.get(digest) === size) return { digest, present: true, upload: null }
      const { expiresAtMs, ...request } = await ctx.store.signPut(storeKeys.object(digest), { sha256: digest, size }, limits.urlLifeMs)
      return { digest, present: false, upload: { ...request, expiresAt: at(expiresAtMs) }, ...inParts(ctx, size) }
    })),
  }
}

function inParts({ store: { parts } }: Ctx, size: number): { parts?: { partBytes: number; count: number } } {
  return parts === undefined || size <= parts.partBytes ? {} : { parts: { partBytes: parts.partBytes, count: Math.ceil(size / parts.partBytes) } }
}

/** An available release takes objects again only while something of it is said to be missing. */
export function requireTaking({ id, state, detail }: ReleaseRow): void {
  const taking = state === 'uploading' || state === 'rejected' || (state === 'available' && detail !== '')
  if (!taking) throw new FleetError('conflict', `${id} is ${state} and takes no objects any more`, { reason: state })
}
