import type { StoredObject } from '../../artifact/store-objects.ts'
import { releaseContracts } from '../../protocol/http/releases.ts'
import type { Digest } from '../../protocol/ids.ts'
import type { DeliveryIndex } from '../../protocol/manifest.ts'
import type { Client } from '../client.ts'
import { CliError } from '../cli-error.ts'
import { inParallel } from './in-parallel.ts'
import { uploadObject, wholeOf, type SignedUpload } from './upload-object.ts'
import { uploadParts } from './upload-parts.ts'

/** Objects a lot of signed URLs is asked for: small enough that they do not expire before their turn. */
const lotMax = 64
const parallelMax = 4

export type UploadResult = { uploaded: number; uploadedBytes: number; present: number }

/**
 * Puts every object of a release that the store lacks into it, four at a time. Returns the objects that the index counts on
 * from earlier releases and that the store does not have, instead of uploading, when there are any. `onBytes` is told
 * bytes done, of how many.
 */
export async function uploadObjects(
  client: Client, release: string, objects: readonly StoredObject[], expected: DeliveryIndex['objects'], onBytes: (done: number, total: number) => void,
): Promise<UploadResult | { lost: Digest[] }> {
  const own = new Map(objects.map((object) => [object.digest, object]))
  const wanted = [...own.values(), ...(Object.entries(expected) as [Digest, number][]).flatMap(([digest, size]) => (own.has(digest) ? [] : [{ digest, size }]))]
  const missing = new Set<Digest>()
  for (const lot of lotsOf(wanted, 500)) for (const { digest, present } of await sign(client, release, lot)) if (!present) missing.add(digest)
  const lost = [...missing].filter((digest) => !own.has(digest))
  if (lost.length > 0) return { lost }
  const lacking = objects.filter(({ digest }) => missing.has(digest))
  const progress = countBytes(lacking, onBytes)
  for (const lot of lotsOf(lacking, lotMax)) await uploadLot(client, release, lot, progress)
  return { uploaded: lacking.length, uploadedBytes: lacking.reduce((sum, { size }) => sum + size, 0), present: wanted.length - lacking.length }
}

const lotsOf = <T>(items: readonly T[], size: number): T[][] => Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

const sign = async (client: Client, release: string, lot: readonly { digest: Digest; size: number }[]) =>
  (await client.call(releaseContracts.signUploads, { params: { release }, body: { objects: lot.map(({ digest, size }) => ({ digest, size })) } })).objects

function countBytes(objects: readonly StoredObject[], onBytes: (done: number, total: number) => void): (object: StoredObject, bytes: number) => void {
  const total = objects.reduce((sum, { size }) => sum + size, 0)
  const sent = new Map<Digest, number>()
  let done = 0
  return ({ digest }, bytes) => {
    done += bytes - (sent.get(digest) ?? 0)
    sent.set(digest, bytes)
    onBytes(done, total)
  }
}

async function uploadLot(client: Client, release: string, lot: readonly StoredObject[], onBytes: (object: StoredObject, bytes: number) => void): Promise<void> {
  const signed = new Map((await sign(client, release, lot)).map((answer) => [answer.digest, answer]))
  const renew = async (object: StoredObject): Promise<SignedUpload | null> => (await sign(client, release, [object]))[0]?.upload ?? null
  await inParallel(lot, parallelMax, async (object) => {
    const answer = signed.get(object.digest)
    if (answer === undefined) throw new CliError('failure', `the controller did not say how object ${object.digest} is uploaded`)
    const progress = (bytes: number): void => onBytes(object, bytes)
    if (answer.upload === null) progress(object.size)
    else if (answer.parts !== undefined) await uploadParts(client, release, object, answer.parts, progress)
    else await uploadObject(client.http, wholeOf(object), answer.upload, () => renew(object), progress)
  })
}
