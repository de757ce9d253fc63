import { FleetError } from '../../protocol/errors.ts'
import { at, type BodyOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { releaseContracts } from '../../protocol/http/releases.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import { headObjects } from './head-objects.ts'
import { loadRelease } from './load.ts'

type Contract = typeof releaseContracts.signUploads

/** Which objects the store has, and for each other a signed request under which it takes exactly these bytes. Throws `conflict` for a release that takes none. */
export async function signUploads(ctx: Ctx, id: string, { objects }: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  const row = await loadRelease(ctx, id)
  if (row.state !== 'uploading' && row.state !== 'rejected') throw new FleetError('conflict', `${id} is ${row.state} and takes no objects any more`, { reason: row.state })
  const stored = await headObjects(ctx, objects.map(({ digest }) => digest))
  return {
    objects: await Promise.all(objects.map(async ({ digest, size }) => {
      if (stored.get(digest) === size) return { digest, present: true, upload: null }
      const { expiresAtMs, ...request } = await ctx.store.signPut(storeKeys.object(digest), { sha256: digest, size }, limits.urlLifeMs)
      return { digest, present: false, upload: { ...request, expiresAt: at(expiresAtMs) } }
    })),
  }
}
