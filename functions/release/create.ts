import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { release, type ReleaseRow } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { releaseContracts, ReleaseView } from '../../protocol/http/releases.ts'
import { manifestReleaseId } from '../../protocol/manifest.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { releaseUnmoved } from './load.ts'
import { openManifest } from './open-manifest.ts'
import { viewRelease } from './view.ts'

/**
 * Announces a release; name and version are its own for ever. The same manifest again answers with what is there; until
 * its bytes are confirmed it may bring another delivery index, since only the manifest says what a release is, and begin
 * anew after it was collected. Throws `unprocessable` as `openManifest`, and `conflict` for a version that another manifest has.
 */
export async function createRelease(ctx: Ctx, input: BodyOf<typeof releaseContracts.createRelease>): Promise<ReleaseView> {
  const { manifest, digest, publisherKey } = await openManifest(ctx, input.manifest)
  const id = manifestReleaseId(manifest)
  const [known] = await ctx.db.orm.select().from(release).where(eq(release.id, id))
  if (known !== undefined && known.digest !== digest) {
    throw new FleetError('conflict', `${id} is the release with the digest ${known.digest}, and this manifest has ${digest}; give it another version`, { reason: 'version-taken' })
  }
  const open = known === undefined || known.state === 'uploading' || known.state === 'rejected'
  if (!open || (known?.indexDigest === input.index.digest && known.collectedMs === null)) return viewRelease(known)
  const row: ReleaseRow = {
    id, name: manifest.name, digest, state: 'uploading', detail: 'its objects are being uploaded', envelope: input.manifest, manifest, publisherKey,
    indexDigest: input.index.digest, indexBytes: input.index.size, contentBytes: manifest.components.reduce((sum, { tree }) => sum + tree.size, 0),
    storedBytes: 0, objects: 0, objectsConfirmed: 0, createdMs: known?.createdMs ?? ctx.nowMs, availableMs: null, version: (known?.version ?? 0) + 1,
    collectedMs: null, touchedMs: ctx.nowMs,
  }
  const event = {
    action: 'release.announced', entity: `release/${id}`, why: known === undefined ? 'announced' : known.collectedMs !== null ? 'announced again after its objects were collected' : 'announced again with another delivery index',
    detail: { digest, publisherKey, index: input.index.digest },
  }
  const upsert = ctx.db.orm.insert(release).values(row).onConflictDoUpdate({ target: release.id, set: row })
  await ctx.db.write([statement(upsert), recordEvents(ctx, [event])], [releaseUnmoved(id, known?.version ?? null)])
  return viewRelease(row)
}
