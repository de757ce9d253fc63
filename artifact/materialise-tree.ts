import { createHash } from 'node:crypto'
import type { Digest } from '../protocol/ids.ts'
import type { TreeEntry, TreeListing } from '../protocol/manifest.ts'
import { ArtifactError } from './artifact-error.ts'
import { directoriesOf } from './directories-of.ts'
import type { TreeFiles } from './tree-files.ts'

type FileEntry = Extract<TreeEntry, { type: 'file' }>

/**
 * Builds the tree of a listing in `target`, which must not exist yet: exactly its entries (F9), with their modes and
 * owners, directories with mode 0755, all of it synced before it returns. Killed half-way it leaves a directory to be
 * removed and begun again. `contentPath` says where a verified content lies. With `placement: 'link'` files are hard
 * links to it where it has the wanted mode and owner already (they share them), with `copy` never; what is copied is
 * hashed on the way (F10). Throws ArtifactError `not-fresh` or `digest-mismatch`, and whatever the disk throws.
 */
export async function materialiseTree(
  files: TreeFiles, tree: { listing: TreeListing; target: string; contentPath: (digest: Digest) => string; placement: 'link' | 'copy' },
): Promise<void> {
  const { listing, target, contentPath, placement } = tree
  if ((await files.facts(target)) !== null) throw new ArtifactError('not-fresh', target, 'a tree is only built where nothing is yet')
  const directories = [target, ...[...directoriesOf(listing)].map((path) => `${target}/${path}`)]
  for (const directory of directories) {
    await files.makeDirectory(directory)
    await files.setMode(directory, 0o755)
  }
  for (const entry of listing.entries) {
    const path = `${target}/${entry.path}`
    if (entry.type === 'link') await files.symlink(entry.target, path)
    else if (placement === 'link' && (await canLink(files, entry, contentPath))) await files.link(contentPath(entry.sha256), path)
    else await placeCopy(files, entry, entry.size === 0 ? null : contentPath(entry.sha256), path)
  }
  for (const directory of directories.reverse()) await files.sync(directory)
  await files.sync(target.slice(0, target.lastIndexOf('/')) || '/')
}

/** Empty files are always their own: there is no content file to share. */
async function canLink(files: TreeFiles, entry: FileEntry, contentPath: (digest: Digest) => string): Promise<boolean> {
  if (entry.size === 0) return false
  const facts = await files.facts(contentPath(entry.sha256))
  return facts !== null && facts.kind === 'file' && facts.size === entry.size && facts.mode === entry.mode
    && (entry.owner === undefined || (facts.uid === entry.owner.uid && facts.gid === entry.owner.gid))
}

async function placeCopy(files: TreeFiles, entry: FileEntry, from: string | null, path: string): Promise<void> {
  await files.write(path, new Uint8Array(0), 0o600)
  const hash = createHash('sha256')
  if (from !== null) {
    for await (const chunk of files.stream(from)) {
      hash.update(chunk)
      await files.append(path, chunk)
    }
  }
  if (hash.digest('hex') !== entry.sha256) throw new ArtifactError('digest-mismatch', path, `${from ?? 'nothing'} is not ${entry.sha256}`)
  if (entry.owner !== undefined) await files.setOwner(path, entry.owner.uid, entry.owner.gid)
  await files.setMode(path, entry.mode)
  await files.sync(path)
}
