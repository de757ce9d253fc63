import { createHash } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import type { StoredObject } from '../../artifact/store-objects.ts'
import { uploadContracts } from '../../protocol/http/uploads.ts'
import type { Digest } from '../../protocol/ids.ts'
import type { Client } from '../client.ts'
import { CliError } from '../cli-error.ts'
import { inParallel } from './in-parallel.ts'
import { changed, uploadObject, type Piece, type SignedUpload } from './upload-object.ts'

/** Parts asked for together: they are read once for their digests and once more to be sent, so they should still be in memory. */
const lotMax = 8
const parallelMax = 3

type Part = Piece & { number: number; sha256: Digest; md5: string }

/**
 * Puts a long object into the store part by part, and has it made whole. Parts that the store has, of an earlier life of this
 * command or of another one's, are not sent again. `onBytes` is told how many of the object's bytes are there or on their way.
 */
export async function uploadParts(client: Client, release: string, object: StoredObject, { partBytes, count }: { partBytes: number; count: number }, onBytes: (bytes: number) => void): Promise<void> {
  const done = new Map<number, number>()
  const progress = (number: number, bytes: number): void => {
    done.set(number, bytes)
    onBytes([...done.values()].reduce((sum, each) => sum + each, 0))
  }
  for (let first = 1; first <= count; first += lotMax) {
    const numbers = Array.from({ length: Math.min(lotMax, count - first + 1) }, (_, i) => first + i)
    const parts = await readParts(object, partBytes, numbers)
    const signed = await sign(client, release, object, parts)
    await inParallel(parts, parallelMax, async (part) => {
      const upload = signed.get(part.number)
      if (upload === undefined) throw new CliError('failure', `the controller did not say how part ${part.number} of object ${object.digest} is uploaded`)
      if (upload !== null) await uploadObject(client.http, part, upload, async () => (await sign(client, release, object, [part])).get(part.number) ?? null, (bytes) => progress(part.number, bytes))
      progress(part.number, part.size)
    })
  }
  await client.call(uploadContracts.completeUpload, { params: { release, digest: object.digest }, body: { size: object.size } })
}

async function readParts(object: StoredObject, partBytes: number, numbers: readonly number[]): Promise<Part[]> {
  const blob = await openAsBlob(object.path)
  if (blob.size !== object.size) throw changed(object)
  const parts: Part[] = []
  for (const number of numbers) {
    const start = (number - 1) * partBytes
    const size = Math.min(partBytes, object.size - start)
    const [sha256, md5] = [createHash('sha256'), createHash('md5')]
    for await (const chunk of blob.slice(start, start + size).stream()) for (const hash of [sha256, md5]) hash.update(chunk)
    parts.push({ number, digest: object.digest, path: object.path, fileBytes: object.size, start, size, sha256: sha256.digest('hex') as Digest, md5: md5.digest('base64') })
  }
  return parts
}

/** For each part how it is sent; null where the store has it. */
async function sign(client: Client, release: string, object: StoredObject, parts: readonly Part[]): Promise<Map<number, SignedUpload | null>> {
  const body = { size: object.size, parts: parts.map(({ number, sha256, md5 }) => ({ number, sha256, md5 })) }
  const answer = await client.call(uploadContracts.signParts, { params: { release, digest: object.digest }, body })
  return new Map(answer.parts.map(({ number, upload }) => [number, upload]))
}
