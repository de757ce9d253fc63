import { posix } from 'node:path'
import type { FileFacts, Files } from '../host/host.ts'
import type { StagedTree } from './contract.ts'
import { ensureDirectory } from './durable.ts'
import { walkTree, type TreeItem } from './walk-tree.ts'

const partialSuffix = '.partial'

type Ids = Pick<FileFacts, 'uid' | 'gid'>

/** Only where it differs from what new files get anyway, so that an agent without privileges can place trees of its own. */
async function copyOwner(files: Files, path: string, from: Ids, own: Ids): Promise<void> {
  if (from.uid !== own.uid || from.gid !== own.gid) await files.setOwner(path, from.uid, from.gid)
}

async function copyFile(files: Files, from: string, to: string, facts: FileFacts, own: Ids): Promise<void> {
  await files.write(to, new Uint8Array(0), 0o600)
  for await (const piece of files.stream(from)) await files.append(to, piece)
  await copyOwner(files, to, facts, own)
  await files.setMode(to, facts.mode)
  await files.sync(to)
}

async function copyTree(files: Files, from: string, to: string): Promise<void> {
  await files.makeDirectory(to)
  const own = (await files.facts(to))!
  const directories: TreeItem[] = []
  for await (const item of walkTree(files, from)) {
    const [source, target] = [`${from}/${item.path}`, `${to}/${item.path}`]
    if (item.facts.kind === 'file') await copyFile(files, source, target, item.facts, own)
    if (item.facts.kind === 'link') await files.symlink(await files.readlink(source), target)
    if (item.facts.kind !== 'directory') continue
    await files.makeDirectory(target)
    directories.push(item)
  }
  // Last, and the innermost first: a directory that may not be written to could not be filled.
  for (const { path, facts } of directories.reverse()) {
    await copyOwner(files, `${to}/${path}`, facts, own)
    await files.setMode(`${to}/${path}`, facts.mode)
    await files.sync(`${to}/${path}`)
  }
  await files.sync(to)
}

/**
 * Copies a staged tree to `path` on a node, durable before the name appears: what is there under this name is complete.
 * A copy and not hard links, because programs of the node may write into their files and the staged tree must stay what
 * was verified.
 */
export async function placeTree(files: Files, tree: StagedTree, path: string): Promise<void> {
  if ((await files.facts(path)) === null) {
    const partial = `${path}${partialSuffix}`
    await ensureDirectory(files, posix.dirname(path))
    await files.remove(partial)
    await copyTree(files, tree.path, partial)
    await files.rename(partial, path)
  }
  await files.sync(posix.dirname(path))
}

/**
 * Removes a placed tree. It loses its name durably first, so that what a power cut leaves of it is never taken for
 * a complete one.
 */
export async function discardTree(files: Files, path: string): Promise<void> {
  const partial = path.endsWith(partialSuffix) ? path : `${path}${partialSuffix}`
  if (partial !== path) {
    await files.remove(partial)
    await files.rename(path, partial)
    await files.sync(posix.dirname(path))
  }
  await files.remove(partial)
}
