import { FleetError } from '../../protocol/errors.ts'
import { at, type BodyOf, type ParamsOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { uploadContracts } from '../../protocol/http/uploads.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import type { PartUploads } from '../ports/object-store.ts'
import { claimObjects } from './claim-objects.ts'
import { requireKept } from './load.ts'
import { requireTaking } from './sign-uploads.ts'

type SignParts = typeof uploadContracts.signParts
type CompleteUpload = typeof uploadContracts.completeUpload

/** A signed request for each part that the store lacks. The object belongs to the release from here on, as by `signUploads`. */
export async function signParts(ctx: Ctx, { release, digest }: ParamsOf<SignParts>, { size, parts }: BodyOf<SignParts>): Promise<ResponseOf<SignParts>> {
  const uploads = await requireParts(ctx, release)
  await claimObjects(ctx, release, [{ digest, size }])
  const count = Math.ceil(size / uploads.partBytes)
  const outside = parts.filter(({ number }) => number > count)
  if (outside.length > 0) throw new FleetError('bad-request', `${size} bytes are ${count} parts: there is no part ${outside[0]!.number}`)
  const lengthOf = (number: number): number => Math.min(uploads.partBytes, size - (number - 1) * uploads.partBytes)
  const signed = await uploads.sign(storeKeys.object(digest), parts.map((part) => ({ ...part, size: lengthOf(part.number) })), limits.urlLifeMs)
  return {
    parts: signed.map((request, i) => {
      const { number } = parts[i]!
      if (request === null) return { number, present: true, upload: null }
      const { expiresAtMs, ...upload } = request
      return { number, present: false, upload: { ...upload, expiresAt: at(expiresAtMs) } }
    }),
  }
}

/** Throws `conflict` with the numbers of the parts that are missing. */
export async function completeUpload(ctx: Ctx, { release, digest }: ParamsOf<CompleteUpload>, { size }: BodyOf<CompleteUpload>): Promise<ResponseOf<CompleteUpload>> {
  const uploads = await requireParts(ctx, release)
  await claimObjects(ctx, release, [{ digest, size }])
  await uploads.complete(storeKeys.object(digest), size)
  return { digest, size }
}

async function requireParts(ctx: Ctx, id: string): Promise<PartUploads> {
  requireTaking(await requireKept(ctx, id))
  if (ctx.store.parts === undefined) throw new FleetError('conflict', 'this object store takes objects in one request only', { reason: 'no-parts' })
  return ctx.store.parts
}
