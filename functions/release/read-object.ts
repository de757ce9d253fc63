import { digestOf } from '../../protocol/envelope.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import type { Ctx } from '../context.ts'

/** The bytes of an object that must have this size and digest, or what is wrong. Nothing is read that has another size. */
export async function readObject(ctx: Pick<Ctx, 'store' | 'crypto'>, digest: string, size: number): Promise<Result<Uint8Array, string>> {
  const key = storeKeys.object(digest)
  const facts = await ctx.store.head(key)
  if (facts === null) return refuse(`the store lacks the object ${digest}`)
  if (facts.size !== size) return refuse(`the object ${digest} has ${facts.size} bytes, not ${size}`)
  const bytes = await ctx.store.get(key, size)
  if (bytes === null || (await digestOf(ctx.crypto, bytes)) !== digest) return refuse(`the bytes of the object ${digest} are not the ones it is named by`)
  return ok(bytes)
}
