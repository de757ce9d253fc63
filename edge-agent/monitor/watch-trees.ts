import { directoriesOf } from '../../artifact/directories-of.ts'
import type { TreeRef } from '../../protocol/manifest.ts'
import { DriverError } from '../driver/contract.ts'
import { FileError, type Clock, type Files } from '../host/host.ts'
import type { ContentStore } from '../stage/content-store.ts'
import { treeFinding, lookAtTree, newRecord, type Budget, type TreeItem, type TreeRecord } from './look-at-tree.ts'

/** At most so much in one look: a tree of 100,000 files, or one of many gigabytes, is gone through in many. */
const entriesPerLookMax = 5000
const bytesPerLookMax = 128 * 1024 * 1024
/** Of files that nothing has been heard of since they were read: all of a gigabyte in five hours and a half. */
const bytesAgainPerLookMax = 16 * 1024 * 1024
const spanMsMax = 3000
/** No more than a hundredth of the time goes into it. */
const restFactor = 100

/** A tree as it was installed on a node; `key` is its own among all of the site, `place` says where it is. */
export type InstalledTree = { key: string; ref: TreeRef; place(): Promise<string>; ignores(path: string): boolean }
export type TreeWatchParts = { files: Files; clock: Clock; content: Pick<ContentStore, 'listing'> }

/** Whether what was installed is still what it was. Kept in memory only: after a start of the agent all is read once more. */
export interface TreeWatch {
  /** Looks for a while, and says of each tree what is wrong with it: null where nothing is, undefined where that is not known yet. */
  look(trees: readonly InstalledTree[], isOver: () => boolean): Promise<ReadonlyMap<string, string | null | undefined>>
}

type Known = { digest: string; record: TreeRecord; finding: string | null | undefined }

export function createTreeWatch({ files, clock, content }: TreeWatchParts): TreeWatch {
  const known = new Map<string, Known>()
  let restedAtMs = Number.NEGATIVE_INFINITY
  /** The tree that the look before had not ended with. */
  let firstKey: string | null = null
  /** The listing that was used last: of one of 100,000 files it takes half a second and 25 MB. */
  let opened: { digest: string; items: TreeItem[] } | null = null

  async function itemsOf(ref: TreeRef): Promise<TreeItem[] | null> {
    if (opened?.digest === ref.digest) return opened.items
    const listing = await content.listing(ref)
    if (listing === null) return null
    const directories = [...directoriesOf(listing)].map((path) => ({ type: 'directory' as const, path }))
    opened = { digest: ref.digest, items: [...directories, ...listing.entries] }
    return opened.items
  }

  async function lookAt({ key, ref, place, ignores }: InstalledTree, budget: Budget): Promise<void> {
    const [root, items] = [await place(), await itemsOf(ref)]
    if (items === null) return
    const before = known.get(key)
    const record = before?.digest === ref.digest ? before.record : newRecord(items.length)
    await lookAtTree({ files, root, items, record, ignores, budget })
    known.set(key, { digest: ref.digest, record, finding: treeFinding({ items, record, ignores }) })
  }

  async function lookAround(trees: readonly InstalledTree[], isOver: () => boolean): Promise<void> {
    const beganMs = clock.monotonicMs()
    const budget: Budget = { entries: entriesPerLookMax, bytes: bytesPerLookMax, bytesAgain: bytesAgainPerLookMax, isOver: () => clock.monotonicMs() - beganMs > spanMsMax || isOver() }
    // those of one listing after each other: it is opened once
    const inOrder = trees.toSorted((a, b) => (a.ref.digest < b.ref.digest ? -1 : a.ref.digest > b.ref.digest ? 1 : 0))
    const first = Math.max(0, inOrder.findIndex(({ key }) => key === firstKey))
    for (const tree of [...inOrder.slice(first), ...inOrder.slice(0, first)]) {
      firstKey = tree.key
      if (budget.isOver() || budget.entries <= 0 || budget.bytes <= 0) break
      await lookAt(tree, budget).catch((error: unknown) => {
        // a disk that cannot be read now says nothing of what is on it
        if (!(error instanceof FileError || error instanceof DriverError)) throw error
      })
    }
    restedAtMs = beganMs + restFactor * (clock.monotonicMs() - beganMs)
  }

  return {
    async look(trees, isOver) {
      const keys = new Set(trees.map(({ key }) => key))
      for (const key of known.keys()) if (!keys.has(key)) known.delete(key)
      if (clock.monotonicMs() >= restedAtMs) await lookAround(trees, isOver)
      return new Map(trees.map(({ key, ref }) => [key, known.get(key)?.digest === ref.digest ? known.get(key)!.finding : undefined]))
    },
  }
}
