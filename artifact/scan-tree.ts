import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { TreeEntry } from '../protocol/manifest.ts'
import { ArtifactError } from './artifact-error.ts'
import { encodeListing, type EncodedListing } from './encode-listing.ts'

type FileEntry = Extract<TreeEntry, { type: 'file' }>
export type Owner = NonNullable<FileEntry['owner']>

/**
 * The listing of a directory: every file with mode (`& 0o777`), size and SHA-256, and every symbolic link that stays
 * inside. Directories are implied by the paths in them and always appear with mode 0755. `owners` gives files, by their
 * path in the tree, a numeric owner. Throws ArtifactError naming the path for what a tree cannot carry: devices,
 * sockets, pipes, setuid and sticky files, empty directories, names that are not UTF-8 in NFC, links that lead out.
 */
export async function scanTree(directory: string, options: { owners?: ReadonlyMap<string, Owner> } = {}): Promise<EncodedListing> {
  const owners = options.owners ?? new Map<string, Owner>()
  const entries: TreeEntry[] = []
  const pending = ['']
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    const names = await namesIn(directory, prefix)
    if (names.length === 0 && prefix !== '') throw new ArtifactError('unsupported-entry', join(directory, prefix), 'an empty directory cannot be shipped: put a file into it, or remove it')
    for (const name of names) {
      const path = prefix === '' ? name : `${prefix}/${name}`
      const entry = await scanEntry(directory, path, owners)
      if (entry === 'directory') pending.push(path)
      else entries.push(entry)
      if (entries.length > limits.filesPerTreeMax) throw new ArtifactError('too-large', directory, `it has more than ${limits.filesPerTreeMax} files`)
    }
  }
  const paths = new Set(entries.map((entry) => entry.path))
  for (const path of owners.keys()) if (!paths.has(path)) throw new ArtifactError('invalid-tree', join(directory, path), 'an owner is given for a file that is not there')
  return encodeListing(entries, directory)
}

async function namesIn(directory: string, prefix: string): Promise<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const names = await readdir(join(directory, prefix), { encoding: 'buffer' })
  return names.map((name) => {
    try {
      return decoder.decode(name)
    } catch (error) {
      throw new ArtifactError('unsupported-entry', join(directory, prefix, name.toString('latin1')), 'its name is not UTF-8', error)
    }
  })
}

async function scanEntry(directory: string, path: string, owners: ReadonlyMap<string, Owner>): Promise<TreeEntry | 'directory'> {
  const place = join(directory, path)
  const facts = await lstat(place)
  if (facts.isDirectory()) return 'directory'
  const owner = owners.get(path)
  if (facts.isSymbolicLink()) {
    if (owner !== undefined) throw new ArtifactError('unsupported-entry', place, 'a symbolic link has no owner of its own')
    return { type: 'link', path, target: await readlink(place) }
  }
  if (!facts.isFile()) throw new ArtifactError('unsupported-entry', place, 'only files, directories and symbolic links can be shipped')
  if ((facts.mode & 0o7000) !== 0) throw new ArtifactError('unsupported-entry', place, 'setuid, setgid and sticky files cannot be shipped')
  const { size, sha256 } = await hashFile(place, facts.size)
  return { type: 'file', path, mode: facts.mode & 0o777, ...(owner === undefined ? {} : { owner }), size, sha256 }
}

/** `sizeHint` only saves memory for small files; what counts is what is read. */
async function hashFile(path: string, sizeHint: number): Promise<{ size: number; sha256: Digest }> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafe(Math.min(sizeHint + 1, 256 * 1024))
    let size = 0
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return { size, sha256: hash.digest('hex') as Digest }
      hash.update(buffer.subarray(0, bytesRead))
      size += bytesRead
    }
  } finally {
    await handle.close()
  }
}
