import { openListing } from '../../artifact/open-listing.ts'
import { materialiseTree } from '../../artifact/materialise-tree.ts'
import { verifyTree } from '../../artifact/verify-tree.ts'
import type { Content } from '../../protocol/delivery.ts'
import type { Digest } from '../../protocol/ids.ts'
import type { TreeListing, TreeRef } from '../../protocol/manifest.ts'
import type { Files } from '../host/host.ts'
import type { StatePaths } from '../state-paths.ts'
import { StepError } from '../step-error.ts'

/** What a site has of releases: contents by their digest, and trees built of them. */
export interface ContentStore {
  pathOf(digest: Digest): string
  treePath(digest: Digest): string
  has(content: Content): Promise<boolean>
  /** Keeps a content whose pieces are believed once they have ended without an error; durable when it returns. */
  put(content: Content, pieces: AsyncIterable<Uint8Array>): Promise<void>
  /** The listing of a tree, if it is here whole. */
  listing(ref: TreeRef): Promise<TreeListing | null>
  /** Whether the whole tree is here, every file hashed again. */
  treeIsWhole(ref: TreeRef): Promise<boolean>
  /** Builds a tree from contents that are all here. Throws StepError with `retry` when one of them was bad; it is then gone. */
  build(ref: TreeRef, listing: TreeListing): Promise<void>
}

export function createContentStore(files: Files, paths: StatePaths): ContentStore {
  const pathOf = (digest: Digest): string => `${paths.content}/${digest.slice(0, 2)}/${digest}`
  const treePath = (digest: Digest): string => `${paths.trees}/${digest}`

  async function listing(ref: TreeRef): Promise<TreeListing | null> {
    const path = pathOf(ref.digest)
    if ((await files.facts(path))?.size !== ref.listingBytes) return null
    const opened = openListing(await files.read(path), ref)
    if (opened.ok) return opened.value
    await files.remove(path)
    return null
  }

  return {
    pathOf, treePath, listing,
    has: async ({ digest, size }) => (await files.facts(pathOf(digest)))?.size === size,
    async put({ digest }, pieces) {
      const path = pathOf(digest)
      const fresh = `${paths.partial}/${digest}.content`
      await files.write(fresh, new Uint8Array(0), 0o644)
      for await (const piece of pieces) await files.append(fresh, piece)
      await files.sync(fresh)
      await files.makeDirectory(path.slice(0, path.lastIndexOf('/')))
      await files.rename(fresh, path)
    },
    async treeIsWhole(ref) {
      const path = treePath(ref.digest)
      if ((await files.facts(path)) === null) return false
      const known = await listing(ref)
      return known !== null && (await verifyTree(files, known, path)).ok
    },
    async build(ref, known) {
      const path = treePath(ref.digest)
      const fresh = `${path}.partial`
      await files.remove(path)
      await files.remove(fresh)
      await materialiseTree(files, { listing: known, target: fresh, contentPath: pathOf, placement: 'link' })
      const verified = await verifyTree(files, known, fresh)
      if (!verified.ok) {
        const { refusal } = verified
        const entry = known.entries.find((each) => each.path === refusal.path)
        if (entry?.type === 'file') await files.remove(pathOf(entry.sha256))
        throw new StepError({ code: 'tree-differs', detail: `${refusal.path}: ${refusal.detail}` }, { retry: true })
      }
      await files.rename(fresh, path)
      await files.sync(paths.trees)
    },
  }
}
