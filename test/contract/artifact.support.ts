import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { openListing } from '../../artifact/open-listing.ts'
import { contentsOf } from '../../protocol/delivery.ts'
import { planFetch, type Fetch } from '../../artifact/plan-fetch.ts'
import type { StoredObject } from '../../artifact/store-objects.ts'
import { unpackFetch } from '../../artifact/unpack-fetch.ts'
import type { Digest } from '../../protocol/ids.ts'
import { DeliveryIndex, type TreeListing, type TreeRef } from '../../protocol/manifest.ts'

export const sha256 = (bytes: Uint8Array | string): Digest => createHash('sha256').update(bytes).digest('hex') as Digest

/** A fresh temporary directory for one test, removed when `use` has ended. */
export async function withDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-artifact-'))
  try {
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

export async function writeTree(directory: string, files: Record<string, string | Uint8Array>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content)
  }
  return directory
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export async function* piecesOf(bytes: Uint8Array, pieceBytes = 1000): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += pieceBytes) yield bytes.subarray(i, i + pieceBytes)
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

/** The body a store would answer a fetch with. */
function bodyOf(objects: readonly StoredObject[], fetch: Fetch): AsyncIterable<Uint8Array> {
  const object = objects.find((o) => o.digest === fetch.object)!
  return createReadStream(object.path, { start: fetch.offset, end: fetch.offset + fetch.length - 1 })
}

/** What an agent does: fetches the listing, then what the listing needs, into `store/<digest>`. */
export async function receiveTree(ref: TreeRef, index: DeliveryIndex, objects: readonly StoredObject[], store: string): Promise<TreeListing> {
  const parsed = DeliveryIndex.parse(JSON.parse(JSON.stringify(index)))
  await mkdir(store, { recursive: true })
  const receive = async (wanted: { digest: Digest; size: number }[]): Promise<void> => {
    const plan = planFetch(wanted, () => false, parsed)
    if (!plan.ok) throw new Error(JSON.stringify(plan.refusal))
    for (const fetch of plan.value.fetches) {
      for await (const { part, content } of unpackFetch(bodyOf(objects, fetch), fetch)) await writeFile(join(store, part.digest), content)
    }
  }
  await receive([{ digest: ref.digest, size: ref.listingBytes }])
  const listing = openListing(await collect(createReadStream(join(store, ref.digest))), ref)
  if (!listing.ok) throw new Error(JSON.stringify(listing.refusal))
  await receive(contentsOf(listing.value))
  return listing.value
}
