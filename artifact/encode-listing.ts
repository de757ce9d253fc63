import { createHash } from 'node:crypto'
import { canonicalJson, utf8 } from '../protocol/bytes.ts'
import { totalsOf } from '../protocol/delivery.ts'
import type { Digest } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import { TreeListing, type TreeEntry, type TreeRef } from '../protocol/manifest.ts'
import { ArtifactError } from './artifact-error.ts'

export type EncodedListing = { listing: TreeListing; bytes: Uint8Array; ref: TreeRef }

/**
 * A listing of these entries in canonical bytes, with the reference a manifest names it by. `name` is what errors call
 * the tree. Throws ArtifactError `invalid-tree` for entries no listing may have, `too-large` over the limits.
 */
export function encodeListing(entries: readonly TreeEntry[], name: string): EncodedListing {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
  const parsed = TreeListing.safeParse({ v: 1, entries: sorted })
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const entry = issue.path[0] === 'entries' && typeof issue.path[1] === 'number' ? sorted[issue.path[1]] : undefined
    throw new ArtifactError('invalid-tree', entry === undefined ? name : `${name}/${entry.path}`, issue.message)
  }
  const bytes = utf8(canonicalJson(parsed.data))
  if (bytes.length > limits.listingBytesMax) throw new ArtifactError('too-large', name, `its listing is ${bytes.length} bytes long; the limit is ${limits.listingBytesMax}`)
  return { listing: parsed.data, bytes, ref: { digest: createHash('sha256').update(bytes).digest('hex') as Digest, listingBytes: bytes.length, ...totalsOf(parsed.data) } }
}
