import { fromBase64, toHex, utf8 } from '../../protocol/bytes.ts'
import { digestOf, parsePayload } from '../../protocol/envelope.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import { releaseContracts } from '../../protocol/http/releases.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { ReleaseRow } from '../../db/schema/release.ts'
import type { Ctx } from '../context.ts'

type Announcement = BodyOf<typeof releaseContracts.createRelease>

/** Leaves what a release was announced with beside its objects, so that a database that has forgotten it can be told again (F58). */
export async function keepManifest(ctx: Pick<Ctx, 'store' | 'crypto'>, row: Pick<ReleaseRow, 'digest' | 'envelope' | 'indexDigest' | 'indexBytes'>): Promise<void> {
  const announcement = { manifest: row.envelope, index: { digest: row.indexDigest, size: row.indexBytes } }
  const bytes = utf8(JSON.stringify(announcement))
  await ctx.store.put(storeKeys.manifest(row.digest), bytes, toHex(await ctx.crypto.sha256(bytes)))
}

/** What the release with this digest was announced with. Throws `not-found`, and `unprocessable` for an object that says anything else. */
export async function keptManifest(ctx: Pick<Ctx, 'store' | 'crypto'>, digest: string): Promise<Announcement> {
  const bytes = await ctx.store.get(storeKeys.manifest(digest), 2 * limits.envelopeBytesMax)
  if (bytes === null) throw new FleetError('not-found', `the object store keeps no manifest ${digest}: publish the release again`)
  const parsed = parsePayload(releaseContracts.createRelease.body!, bytes)
  if (!parsed.ok || (await digestOf(ctx.crypto, fromBase64(parsed.value.manifest.payload))) !== digest) {
    throw new FleetError('unprocessable', `what the object store keeps as the manifest ${digest} is another: publish the release again`, { reason: 'digest-mismatch' })
  }
  return parsed.value
}
