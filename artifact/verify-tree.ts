import { createHash } from 'node:crypto'
import type { TreeEntry, TreeListing } from '../protocol/manifest.ts'
import { ok, refuse, type Result } from '../protocol/result.ts'
import { directoriesOf } from './directories-of.ts'
import type { TreeFiles } from './tree-files.ts'

/** How an entry differs from what a listing says of it. */
export type EntryDifference = { reason: 'missing' | 'changed' | 'mode' | 'owner'; detail: string }
/** How a directory differs from a listing. `path` is inside the tree, empty for the tree itself. */
export type TreeDifference = { reason: EntryDifference['reason'] | 'extra'; path: string; detail: string }

/**
 * Whether `root` holds exactly the tree of a listing, every file hashed again. Refuses with the first difference:
 * what is too much comes first, then the listing's entries in order. Modes of directories are not part of a listing.
 */
export async function verifyTree(files: TreeFiles, listing: TreeListing, root: string): Promise<Result<null, TreeDifference>> {
  const facts = await files.facts(root)
  if (facts === null) return refuse({ reason: 'missing', path: '', detail: 'the tree is not there' })
  if (facts.kind !== 'directory') return refuse({ reason: 'changed', path: '', detail: `the tree is a ${facts.kind}` })
  const extra = await findExtra(files, listing, root)
  if (extra !== null) return refuse(extra)
  for (const entry of listing.entries) {
    const place = `${root}/${entry.path}`
    const difference = (await compareEntry(files, entry, place, await files.facts(place))) ?? (await compareContent(files, entry, place))
    if (difference !== null) return refuse({ ...difference, path: entry.path })
  }
  return ok(null)
}

async function findExtra(files: TreeFiles, listing: TreeListing, root: string): Promise<TreeDifference | null> {
  const leaves = new Set(listing.entries.map((entry) => entry.path))
  const directories = directoriesOf(listing)
  for (const directory of ['', ...directories]) {
    const place = directory === '' ? root : `${root}/${directory}`
    const facts = await files.facts(place)
    if (facts === null) return { reason: 'missing', path: directory, detail: 'the directory is not there' }
    if (facts.kind !== 'directory') return { reason: 'changed', path: directory, detail: `it is a ${facts.kind}, not a directory` }
    for (const name of (await files.list(place)).sort()) {
      const path = directory === '' ? name : `${directory}/${name}`
      if (!leaves.has(path) && !directories.has(path)) return { reason: 'extra', path, detail: 'the listing does not have it' }
    }
  }
  return null
}

/** How an entry differs, by all that can be said without reading its content. `facts` are those of `place`. */
export async function compareEntry(
  files: Pick<TreeFiles, 'readlink'>, entry: TreeEntry, place: string, facts: Awaited<ReturnType<TreeFiles['facts']>>,
): Promise<EntryDifference | null> {
  if (facts === null) return { reason: 'missing', detail: 'it is not there' }
  if (facts.kind !== entry.type) return { reason: 'changed', detail: `it is a ${facts.kind}, not a ${entry.type}` }
  if (entry.type === 'link') {
    const target = await files.readlink(place)
    return target === entry.target ? null : { reason: 'changed', detail: `it points to ${target}, not ${entry.target}` }
  }
  if (facts.size !== entry.size) return { reason: 'changed', detail: `it has ${facts.size} bytes, not ${entry.size}` }
  if (facts.mode !== entry.mode) return { reason: 'mode', detail: `its mode is ${facts.mode.toString(8)}, not ${entry.mode.toString(8)}` }
  if (entry.owner !== undefined && (facts.uid !== entry.owner.uid || facts.gid !== entry.owner.gid)) {
    return { reason: 'owner', detail: `it belongs to ${facts.uid}:${facts.gid}, not ${entry.owner.uid}:${entry.owner.gid}` }
  }
  return null
}

async function compareContent(files: TreeFiles, entry: TreeEntry, place: string): Promise<EntryDifference | null> {
  if (entry.type === 'link') return null
  const hash = createHash('sha256')
  for await (const chunk of files.stream(place)) hash.update(chunk)
  return hash.digest('hex') === entry.sha256 ? null : { reason: 'changed', detail: 'its content is another' }
}
