import type { DeliveryIndex, Location, TreeListing, TreeRef } from './manifest.ts'
import type { Digest } from './ids.ts'

/** Bytes by what they are: SHA-256 and length. */
export type Content = { digest: Digest; size: number }

/** SHA-256 of nothing. Empty content is never stored nor fetched: everybody has it. */
export const emptyDigest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as Digest

/** What the files of a tree consist of, each content once, without the empty one. */
export function contentsOf(listing: TreeListing): Content[] {
  const contents = new Map<Digest, Content>()
  for (const entry of listing.entries) {
    if (entry.type === 'file' && entry.size > 0) contents.set(entry.sha256, { digest: entry.sha256, size: entry.size })
  }
  return [...contents.values()]
}

/** The stored object a location points into, and where. */
export const placeOf = (location: Location): { object: Digest; offset: number } =>
  'pack' in location ? { object: location.pack, offset: location.offset } : { object: location.object, offset: 0 }

/**
 * What is wrong with where an index says a content is, or null. Stored bytes are never longer than the content, so an
 * index cannot make anyone fetch more than the signed sizes add up to (F7).
 */
export function locationFault(content: Content, location: Location, objects: DeliveryIndex['objects']): string | null {
  const { object, offset } = placeOf(location)
  const objectBytes = objects[object]
  if (objectBytes === undefined) return `object ${object} is not listed`
  if (location.storedBytes === 0 || location.storedBytes > content.size) return `${location.storedBytes} stored bytes for a content of ${content.size}`
  if (location.codec === 'none' && location.storedBytes !== content.size) return `${location.storedBytes} plain bytes for a content of ${content.size}`
  if ('pack' in location) return offset + location.storedBytes > objectBytes ? `the range ends after the pack's ${objectBytes} bytes` : null
  return location.storedBytes !== objectBytes ? `the object has ${objectBytes} bytes, not ${location.storedBytes}` : null
}

/** What is wrong with where an index says a tree's listing is, or null: DeliveryIndex promises an object of its own, not compressed. */
export function listingLocationFault(tree: TreeRef, index: DeliveryIndex): string | null {
  const location = index.content[tree.digest]
  if (location === undefined) return `the delivery index does not say where the listing ${tree.digest} is`
  if (!('object' in location) || location.object !== tree.digest || location.codec !== 'none') return 'a listing must be stored as an object of its own, uncompressed'
  return locationFault({ digest: tree.digest, size: tree.listingBytes }, location, index.objects)
}

/** Number of a tree's files, and the sum of their sizes: what its TreeRef must say. */
export function totalsOf(listing: TreeListing): { files: number; size: number } {
  const files = listing.entries.filter((entry) => entry.type === 'file')
  return { files: files.length, size: files.reduce((sum, file) => sum + file.size, 0) }
}
