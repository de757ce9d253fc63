import { posix } from 'node:path'
import type { Files, Host } from '../host/host.ts'
import { DriverError, type Change, type Driver, type Observed, type StagedTree } from './contract.ts'
import { ensureDirectory, notes, removeDurably } from './durable.ts'
import { discardTree, placeTree } from './place-tree.ts'
import { resolveInRoot } from './resolve-in-root.ts'
import { verifyObserved } from './verify-observed.ts'

/**
 * The `files` driver. A tree is copied to `/var/lib/murmur/trees/<component>/<digest>` on the node, and `target` is a
 * symbolic link to it, so that one rename takes the node from the old tree to the new. Trees are kept per component:
 * two that share a digest cannot take each other's away.
 *
 * Something foreign at `target` is moved to `<target>.before-murmur` first, noted durably before it moves; rollback
 * puts it back, and after commit it stays there for its owner. Only then, and where a release moves `target` itself, is
 * there a moment that is neither old nor new; calling apply again or rollback ends it.
 */
const storePath = '/var/lib/murmur/trees'
const asideNote = 'moved-aside'
const freshOf = (linkPath: string): string => `${linkPath}.murmur-new`
const asideOf = (target: string): string => `${target}.before-murmur`

type Side = NonNullable<Change['from']>
const targetOf = (side: Side | null): string | null => (side?.component.config.driver === 'files' ? side.component.config.target : null)

const storeOf = (files: Files, change: Change): Promise<string> => resolveInRoot(files, change.node, `${storePath}/${change.component}`, true)
const treePath = async (files: Files, change: Change, tree: StagedTree): Promise<string> => `${await storeOf(files, change)}/${tree.digest}`

/** Where the link of a target is, as a path of the host: its parents are resolved, it itself is not. */
const linkPathOf = (files: Files, change: Change, target: string): Promise<string> => resolveInRoot(files, change.node, target, false)

/** The component and digest of the tree that a link leads to, or null where there is none of ours. */
async function treeBehind(files: Files, change: Change, linkPath: string): Promise<{ component: string; digest: string } | null> {
  if ((await files.facts(linkPath))?.kind !== 'link') return null
  const store = posix.dirname(await storeOf(files, change))
  const [component, digest, ...more] = posix.relative(store, posix.resolve(posix.dirname(linkPath), await files.readlink(linkPath))).split('/')
  return component === undefined || component === '..' || digest === undefined || more.length > 0 ? null : { component, digest }
}

async function ownDigestAt(files: Files, change: Change, target: string): Promise<string | null> {
  const behind = await treeBehind(files, change, await linkPathOf(files, change, target))
  return behind?.component === change.component ? behind.digest : null
}

/** Refuses what could not be done or undone, before anything changes. */
async function checkTarget(files: Files, change: Change, target: string): Promise<void> {
  const linkPath = await linkPathOf(files, change, target)
  const store = posix.dirname(await storeOf(files, change))
  if (linkPath.startsWith(`${store}/`)) throw new DriverError('target-inside-tree', `${target} lies inside a tree that is in effect`)
  const foreign = (await files.facts(linkPath)) !== null && (await treeBehind(files, change, linkPath)) === null
  if (foreign && (await files.facts(asideOf(linkPath))) !== null) {
    throw new DriverError('target-occupied', `${target} is not ours, and ${asideOf(target)} is there already`)
  }
}

async function moveForeignAside(files: Files, change: Change, target: string): Promise<void> {
  await checkTarget(files, change, target)
  const linkPath = await linkPathOf(files, change, target)
  const foreign = (await files.facts(linkPath)) !== null && (await treeBehind(files, change, linkPath)) === null
  if (!foreign) return
  await notes.write(files, change, asideNote, target)
  await files.rename(linkPath, asideOf(linkPath))
}

async function pointAt(files: Files, change: Change, target: string, tree: StagedTree): Promise<void> {
  const path = await treePath(files, change, tree)
  await placeTree(files, tree, path)
  await moveForeignAside(files, change, target)
  const linkPath = await linkPathOf(files, change, target)
  const parent = posix.dirname(linkPath)
  await ensureDirectory(files, parent)
  if ((await ownDigestAt(files, change, target)) !== tree.digest) {
    const fresh = freshOf(linkPath)
    await files.remove(fresh)
    // Relative, so that it means the same seen from the host and from inside the node's root.
    await files.symlink(posix.relative(parent, path), fresh)
    await files.rename(fresh, linkPath)
  }
  await files.sync(parent)
}

/** Takes the link away if it is this component's; another component may have taken the target over. */
async function unlinkOwn(files: Files, change: Change, target: string): Promise<void> {
  const linkPath = await linkPathOf(files, change, target)
  if ((await ownDigestAt(files, change, target)) !== null) await files.remove(linkPath)
  const parent = posix.dirname(linkPath)
  if ((await files.facts(parent)) !== null) await files.sync(parent)
}

/** Puts back what apply moved away from `target`; where it moved nothing there is nothing to do. */
async function putBack(files: Files, change: Change, target: string): Promise<void> {
  if ((await notes.read(files, change, asideNote)) !== target) return
  const linkPath = await linkPathOf(files, change, target)
  if ((await files.facts(asideOf(linkPath))) === null) return
  if ((await files.facts(linkPath)) !== null) throw new DriverError('target-occupied', `${target} cannot be put back: something else is there now`)
  await files.rename(asideOf(linkPath), linkPath)
  await files.sync(posix.dirname(linkPath))
}

/** Whether each target shows what it would with `side` in effect: its tree at its own target, none of ours elsewhere. */
async function shows(files: Files, change: Change, side: Side | null): Promise<boolean> {
  for (const target of new Set([targetOf(change.from), targetOf(change.to)])) {
    const wanted = side !== null && target === targetOf(side) ? side.tree.digest : null
    if (target !== null && (await ownDigestAt(files, change, target)) !== wanted) return false
  }
  return true
}

const inEffect = (side: Side | null): Observed => (side === null ? { state: 'absent' } : { state: 'present', digest: side.tree.digest })

async function observe({ files }: Host, change: Change): Promise<Observed> {
  if (await shows(files, change, change.to)) return inEffect(change.to)
  const onlyMoves = change.from?.tree.digest === change.to?.tree.digest
  if (!onlyMoves && (await shows(files, change, change.from))) return inEffect(change.from)
  if (await shows(files, change, null)) return inEffect(null)
  const seen: string[] = []
  for (const target of new Set([targetOf(change.from), targetOf(change.to)])) {
    if (target !== null) seen.push(`${target} shows ${(await ownDigestAt(files, change, target)) ?? 'no tree of ours'}`)
  }
  return { state: 'mixed', detail: seen.join(', ') }
}

/** Places both trees: the way back must need no space that may be gone by then. */
async function stage({ files }: Host, change: Change): Promise<void> {
  const target = targetOf(change.to)
  if (target !== null) await checkTarget(files, change, target)
  for (const side of [change.to, change.from]) if (side !== null) await placeTree(files, side.tree, await treePath(files, change, side.tree))
}

async function apply({ files }: Host, change: Change): Promise<void> {
  const [before, after] = [targetOf(change.from), targetOf(change.to)]
  if (change.to !== null && after !== null) await pointAt(files, change, after, change.to.tree)
  if (before !== null && before !== after) await unlinkOwn(files, change, before)
}

async function rollback({ files }: Host, change: Change): Promise<void> {
  const [before, after] = [targetOf(change.from), targetOf(change.to)]
  if (after !== null && before !== after) {
    await unlinkOwn(files, change, after)
    await putBack(files, change, after)
  }
  if (change.from !== null && before !== null) await pointAt(files, change, before, change.from.tree)
}

async function cleanup({ files }: Host, change: Change): Promise<void> {
  const kept = new Set<string | null>()
  for (const target of [targetOf(change.from), targetOf(change.to)]) {
    if (target === null) continue
    kept.add(await ownDigestAt(files, change, target))
    await removeDurably(files, freshOf(await linkPathOf(files, change, target)))
  }
  const store = await storeOf(files, change)
  if ((await files.facts(store)) !== null) {
    for (const name of await files.list(store)) if (!kept.has(name)) await discardTree(files, `${store}/${name}`)
  }
  await notes.removeAll(files, change)
}

export const filesDriver: Driver = {
  name: 'files',
  atomicity: 'switch',
  reversible: () => 'yes',
  observe,
  stage,
  apply,
  verify: verifyObserved,
  commit: ({ files }, change) => notes.remove(files, change, asideNote),
  rollback,
  cleanup,
  placed: ({ files }, change) => treePath(files, change, change.to!.tree),
}
