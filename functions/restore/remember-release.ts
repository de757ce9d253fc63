import type { ReleaseView } from '../../protocol/http/releases.ts'
import type { Ctx } from '../context.ts'
import { completeRelease } from '../release/complete.ts'
import { createRelease } from '../release/create.ts'
import { keptManifest } from '../release/keep-manifest.ts'

/**
 * Announces a release again that this database has forgotten and the object store has not: the very manifest that sites run, believed for its
 * publisher's signature and for nothing else. Again does nothing. Throws as `keptManifest` and `createRelease`.
 */
export async function rememberRelease(ctx: Ctx, input: { digest: string }): Promise<ReleaseView> {
  const { id } = await createRelease(ctx, await keptManifest(ctx, input.digest))
  return completeRelease(ctx, id)
}
