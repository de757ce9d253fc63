import { contentsOf, locationFault, totalsOf } from '../../protocol/delivery.ts'
import type { DeliveryIndex, TreeListing, TreeRef } from '../../protocol/manifest.ts'

/** Why an index cannot deliver a tree, or null. The listing was verified against the tree's digest before. */
export function judgeListing(tree: TreeRef, listing: TreeListing, index: DeliveryIndex): string | null {
  const { files, size } = totalsOf(listing)
  if (files !== tree.files || size !== tree.size) return `the manifest says ${tree.files} files of ${tree.size} bytes, the listing ${files} of ${size}`
  for (const content of contentsOf(listing)) {
    const location = index.content[content.digest]
    const fault = location === undefined ? `the delivery index does not say where ${content.digest} is` : locationFault(content, location, index.objects)
    if (fault === null) continue
    const entry = listing.entries.find((e) => e.type === 'file' && e.sha256 === content.digest)
    return `${entry?.path ?? content.digest}: ${fault}`
  }
  return null
}
