import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson } from '../protocol/bytes.ts'
import type { Digest } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import { packBytesTarget, packedBytesMax, type DeliveryIndex, type TreeListing } from '../protocol/manifest.ts'
import { assert } from '../protocol/result.ts'
import { ArtifactError } from './artifact-error.ts'
import { levelMax, levelMin } from './codec.ts'
import { compressContent, type Compressed, type Source } from './compress-content.ts'
import { contentsOf, locationFault, placeOf, type Content } from '../protocol/delivery.ts'
import { encodeListing } from './encode-listing.ts'

/** A file to be put into the object store: named by the SHA-256 of its bytes. */
export type StoredObject = { digest: Digest; size: number; path: string }
export type StoredTree = { listing: TreeListing; directory: string }

/**
 * Turns the listings and files of a release's trees into stored objects and the index that says where each content is.
 * Equal contents are stored once; what one of the `reuse` indexes already places is not stored again. A listing is an
 * object of its own, as DeliveryIndex promises. Content of files whose stored form is at most `packedBytesMax` goes into packs, in the order of the digests; the rest makes one object each.
 *
 * `scratch` is a directory for the objects' files, made if missing; a long file that does not compress is named where
 * it lies instead. `level` is zstd's, 1 to 19. The same input gives the same objects. Throws ArtifactError.
 */
export async function storeObjects(
  trees: readonly StoredTree[], options: { scratch: string; level?: number; reuse?: readonly DeliveryIndex[] },
): Promise<{ index: DeliveryIndex; objects: StoredObject[] }> {
  const { scratch, level = 3, reuse = [] } = options
  assert(Number.isInteger(level) && level >= levelMin && level <= levelMax, `the zstd level must be ${levelMin} to ${levelMax}`)
  await mkdir(scratch, { recursive: true })
  const index: DeliveryIndex = { v: 1, content: {}, objects: {}, patches: [] }
  const objects = new Map<Digest, StoredObject>()
  const add = (object: StoredObject): void => {
    index.objects[object.digest] = object.size
    objects.set(object.digest, object)
  }
  const packs = createPacks(scratch, index, add)
  for (const { listing, directory } of trees) await keepListing(encodeListing(listing.entries, directory), scratch, index, add)
  const sources = sourcesOf(trees)
  for (const digest of [...sources.keys()].sort()) {
    const { content, source } = sources.get(digest)!
    if (copyLocation(content, reuse, index)) continue
    const compressed = await compressContent(content, source, level, join(scratch, 'partial'))
    if (compressed.storedBytes <= packedBytesMax) await packs.append(digest, compressed.codec, await bytesOf(compressed, scratch))
    else add(await keepObject(content, compressed, scratch, index))
  }
  await packs.close()
  const indexBytes = Buffer.byteLength(canonicalJson(index))
  if (indexBytes > limits.deliveryIndexBytesMax) throw new ArtifactError('too-large', 'delivery index', `it is ${indexBytes} bytes long; the limit is ${limits.deliveryIndexBytesMax}`)
  return { index, objects: [...objects.values()] }
}

function sourcesOf(trees: readonly StoredTree[]): Map<Digest, { content: Content; source: Source }> {
  const sources = new Map<Digest, { content: Content; source: Source }>()
  for (const { listing, directory } of trees) {
    const paths = new Map(listing.entries.flatMap((entry) => (entry.type === 'file' ? [[entry.sha256, entry.path] as const] : [])))
    for (const content of contentsOf(listing)) sources.set(content.digest, { content, source: { path: join(directory, paths.get(content.digest)!) } })
  }
  return sources
}

async function keepListing({ bytes, ref }: ReturnType<typeof encodeListing>, scratch: string, index: DeliveryIndex, add: (object: StoredObject) => void): Promise<void> {
  const path = join(scratch, ref.digest)
  await writeFile(path, bytes)
  index.content[ref.digest] = { object: ref.digest, storedBytes: bytes.length, codec: 'none' }
  add({ digest: ref.digest, size: bytes.length, path })
}

function copyLocation(content: Content, reuse: readonly DeliveryIndex[], index: DeliveryIndex): boolean {
  for (const earlier of reuse) {
    const location = earlier.content[content.digest]
    if (location === undefined || locationFault(content, location, earlier.objects) !== null) continue
    const { object } = placeOf(location)
    const objectBytes = earlier.objects[object]!
    if ((index.objects[object] ?? objectBytes) !== objectBytes) continue
    index.content[content.digest] = location
    index.objects[object] = objectBytes
    return true
  }
  return false
}

async function bytesOf(compressed: Compressed, scratch: string): Promise<Uint8Array> {
  if ('bytes' in compressed) return compressed.bytes
  const bytes = await readFile(compressed.path)
  await rm(join(scratch, 'partial'))
  return bytes
}

async function keepObject(content: Content, compressed: Compressed, scratch: string, index: DeliveryIndex): Promise<StoredObject> {
  const digest = 'bytes' in compressed ? sha256(compressed.bytes) : compressed.digest
  const path = 'bytes' in compressed || compressed.codec === 'zstd' ? join(scratch, digest) : compressed.path
  if ('bytes' in compressed) await writeFile(path, compressed.bytes)
  else if (path !== compressed.path) await rename(compressed.path, path)
  index.content[content.digest] = { object: digest, storedBytes: compressed.storedBytes, codec: compressed.codec }
  return { digest, size: compressed.storedBytes, path }
}

function createPacks(scratch: string, index: DeliveryIndex, add: (object: StoredObject) => void) {
  let parts: { digest: Digest; codec: 'zstd' | 'none'; bytes: Uint8Array; offset: number }[] = []
  let size = 0
  const close = async (): Promise<void> => {
    if (parts.length === 0) return
    const bytes = Buffer.concat(parts.map((part) => part.bytes))
    const pack = sha256(bytes)
    for (const part of parts) index.content[part.digest] = { pack, offset: part.offset, storedBytes: part.bytes.length, codec: part.codec }
    await writeFile(join(scratch, pack), bytes)
    add({ digest: pack, size, path: join(scratch, pack) })
    parts = []
    size = 0
  }
  const append = async (digest: Digest, codec: 'zstd' | 'none', bytes: Uint8Array): Promise<void> => {
    parts.push({ digest, codec, bytes, offset: size })
    size += bytes.length
    if (size >= packBytesTarget) await close()
  }
  return { append, close }
}

const sha256 = (bytes: Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest
