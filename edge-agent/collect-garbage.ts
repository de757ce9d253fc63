import { contentsOf } from '../protocol/delivery.ts'
import type { Digest } from '../protocol/ids.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { HeldState } from './held/state.ts'
import type { Files } from './host/host.ts'
import type { JournalRecord } from './journal/record.ts'
import type { ContentStore } from './stage/content-store.ts'
import type { Releases } from './stage/releases.ts'
import type { StatePaths } from './state-paths.ts'

export type GarbageParts = { files: Files; paths: StatePaths; releases: Releases; content: ContentStore }

/** The releases whose bytes stay: what runs, ran, is staged or wanted, or is in the journal. */
function keptReleases(held: HeldState, journal: JournalRecord | null): Set<Digest> {
  const kept = [held.running?.digest, held.previous?.digest, held.staged, held.desired?.release?.digest, journal?.from?.digest, journal?.to?.digest]
  return new Set(kept.filter((digest) => digest !== undefined && digest !== null))
}

/** Removes trees, contents and manifests that nothing needs any more. Only called after a commit. Returns how many things went. */
export async function collectGarbage(parts: GarbageParts, held: HeldState, journal: JournalRecord | null): Promise<number> {
  const { files, paths, releases, content } = parts
  const kept = keptReleases(held, journal)
  const manifests: Manifest[] = []
  for (const digest of kept) {
    const manifest = await releases.load(digest).catch(() => null)
    if (manifest !== null) manifests.push(manifest)
    // Not knowing what runs, nothing can be called unneeded.
    else if (digest === held.running?.digest) return 0
  }
  const trees = new Map(manifests.flatMap((manifest) => manifest.components.map(({ tree }) => [tree.digest as string, tree])))
  const contents = new Set<string>(trees.keys())
  for (const tree of trees.values()) for (const each of contentsOf((await content.listing(tree)) ?? { v: 1, entries: [] })) contents.add(each.digest)
  let removed = await sweep(files, paths.trees, (name) => trees.has(name))
  removed += await sweep(files, paths.partial, () => false)
  for (const shard of await files.list(paths.content)) removed += await sweep(files, `${paths.content}/${shard}`, (name) => contents.has(name))
  const remembered = new Set<string>([...kept, ...held.history.map((release) => release.digest)])
  for (const digest of await releases.stored()) {
    if (remembered.has(digest)) continue
    await releases.forget(digest)
    removed += 1
  }
  return removed
}

async function sweep(files: Files, directory: string, keeps: (name: string) => boolean): Promise<number> {
  const unwanted = (await files.list(directory)).filter((name) => !keeps(name))
  for (const name of unwanted) await files.remove(`${directory}/${name}`)
  return unwanted.length
}
