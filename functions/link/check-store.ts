import { equalBytes, toHex, utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import { failing, working, type Check, type Finding } from './finding.ts'

const link = 'store'
const cure = 'see whether the bucket or directory is there, whether it has room, and whether the key of MURMUR_S3_ACCESS_KEY_ID (or the binding OBJECTS) may read, write and delete in it'

/** The object that is tried: new every minute, so that what lies there from before is not taken for it. */
export async function trialObject(ctx: Ctx): Promise<{ key: string; bytes: Uint8Array; sha256: string }> {
  const bytes = utf8(`written by a check of the links of ${ctx.config.fleet} in minute ${Math.floor(ctx.nowMs / 60_000)}\n`)
  return { key: storeKeys.doctor(), bytes, sha256: toHex(await ctx.crypto.sha256(bytes)) }
}

/** Writes, finds, reads and removes, and tries to have the store take bytes under a digest that is not theirs. */
async function look(ctx: Ctx): Promise<Finding[]> {
  const { key, bytes, sha256 } = await trialObject(ctx)
  await ctx.store.put(key, bytes, sha256)
  const [facts, read, refusal] = await Promise.all([ctx.store.head(key), ctx.store.get(key, 1000), refusalOf(ctx.store.put(key, bytes, '0'.repeat(64)))])
  if (facts?.size !== bytes.length || read === null || !equalBytes(read, bytes)) return [failing(link, 'an object that was put is not there, or is another', cure)]
  if (refusal === null) return [failing(link, 'it takes bytes whose SHA-256 is not the one announced', 'use a store that checks `x-amz-checksum-sha256` on upload; without it a broken upload is found only when a release is confirmed')]
  await ctx.store.remove([`${key}-gone`])
  return [working(link, 'writes, reads, removes, and refuses a wrong digest')]
}

async function refusalOf(put: Promise<void>): Promise<unknown> {
  return put.then(() => null, (error: unknown) => {
    if (error instanceof FleetError && error.code === 'unavailable') throw error
    return error
  })
}

export const checkStore: Check = { link, cure, withinMs: 5000, look }
