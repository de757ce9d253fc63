import { createHash } from 'node:crypto'
import { canonicalJson, fromUtf8 } from '../protocol/bytes.ts'
import { TreeListing, type TreeRef } from '../protocol/manifest.ts'
import { ok, refuse, type Result } from '../protocol/result.ts'
import { emptyDigest, totalsOf } from '../protocol/delivery.ts'

export type ListingRefusal =
  | { reason: 'wrong-length'; expected: number; actual: number }
  | { reason: 'digest-mismatch'; expected: string; actual: string }
  | { reason: 'malformed'; detail: string }
  | { reason: 'wrong-totals'; detail: string }

/**
 * The listing that `ref` (from a verified manifest) names, if `bytes` are it: right length and digest, canonical JSON
 * (so no key stands in it twice, F19), a lawful tree (F16), and sizes that add up to what the manifest says.
 */
export function openListing(bytes: Uint8Array, ref: TreeRef): Result<TreeListing, ListingRefusal> {
  if (bytes.length !== ref.listingBytes) return refuse({ reason: 'wrong-length', expected: ref.listingBytes, actual: bytes.length })
  const digest = createHash('sha256').update(bytes).digest('hex')
  if (digest !== ref.digest) return refuse({ reason: 'digest-mismatch', expected: ref.digest, actual: digest })
  let value: unknown
  let text: string
  try {
    text = fromUtf8(bytes)
    value = JSON.parse(text)
  } catch (error) {
    return refuse({ reason: 'malformed', detail: String(error) })
  }
  const parsed = TreeListing.safeParse(value)
  if (!parsed.success) return refuse({ reason: 'malformed', detail: parsed.error.issues[0]!.message })
  if (canonicalJson(parsed.data) !== text) return refuse({ reason: 'malformed', detail: 'not canonical JSON' })
  const liar = parsed.data.entries.find((entry) => entry.type === 'file' && (entry.size === 0) !== (entry.sha256 === emptyDigest))
  if (liar !== undefined) return refuse({ reason: 'malformed', detail: `size and digest of ${liar.path} contradict each other` })
  const totals = totalsOf(parsed.data)
  if (totals.size !== ref.size || totals.files !== ref.files) {
    return refuse({ reason: 'wrong-totals', detail: `the manifest says ${ref.files} files of ${ref.size} bytes, the listing ${totals.files} of ${totals.size}` })
  }
  return ok(parsed.data)
}
