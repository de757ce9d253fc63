import { lstat, opendir } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { ok, refuse, type Result } from '../../../protocol/result.ts'

export type DirectorySize = { sizeBytes: number; complete: boolean }

const entriesMax = 50_000
const spanMsMax = 10_000
const blockBytes = 512
/** Asked at the same time: that costs a fifth of one after the other. */
const atOnce = 64
/** A directory is measured anew after this many times what that last took, so that it never costs more than a twentieth of the time. */
const restFactor = 20
const kept = 256

/**
 * What everything below a directory takes on its disk, in bytes: blocks, not lengths, and a file with several names once. Links are
 * not followed, nor is what is mounted below. Stops after 50,000 entries or ten seconds, and then says that it is not complete.
 */
async function measure(path: string): Promise<Result<DirectorySize, string>> {
  const top = await lstat(path).catch((error: NodeJS.ErrnoException) => error.code ?? error.message)
  if (typeof top === 'string') return refuse(top === 'ENOENT' ? 'there is no such directory' : `it cannot be read: ${top}`)
  if (!top.isDirectory()) return refuse('it is not a directory')
  const endMs = performance.now() + spanMsMax
  const seen = new Set<number>()
  const pending = [path]
  let sizeBytes = top.blocks * blockBytes
  let entries = 0
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for await (const batch of entriesOf(directory)) {
      for (const { below, stats } of batch) {
        if (stats.dev !== top.dev || seen.has(stats.ino)) continue
        if (stats.nlink > 1 && !stats.isDirectory()) seen.add(stats.ino)
        sizeBytes += stats.blocks * blockBytes
        if (stats.isDirectory()) pending.push(below)
      }
      entries += batch.length
      if (entries > entriesMax || performance.now() > endMs) return ok({ sizeBytes, complete: false })
    }
  }
  return ok({ sizeBytes, complete: true })
}

type Entry = { below: string; stats: Stats }

/** What is in a directory, some at a time; of one that is removed meanwhile, or cannot be read, what could be. */
async function* entriesOf(directory: string): AsyncGenerator<Entry[]> {
  const look = async (names: readonly string[]): Promise<Entry[]> => {
    const found = await Promise.all(names.map(async (name) => ({ below: `${directory}/${name}`, stats: await lstat(`${directory}/${name}`).catch(() => null) })))
    return found.filter((entry): entry is Entry => entry.stats !== null)
  }
  let names: string[] = []
  try {
    for await (const { name } of await opendir(directory, { bufferSize: atOnce })) {
      if (names.push(name) < atOnce) continue
      yield await look(names)
      names = []
    }
  } catch {
    // what was read of it counts
  }
  yield await look(names)
}

/** Measures directories, and gives what it last found while that is new enough for what it cost. */
export function createDirectoryScale(): (path: string) => Promise<Result<DirectorySize, string>> {
  const last = new Map<string, { untilMs: number; found: Result<DirectorySize, string> }>()
  return async (path) => {
    const before = last.get(path)
    if (before !== undefined && performance.now() < before.untilMs) return before.found
    const startMs = performance.now()
    const found = await measure(path)
    if (last.size >= kept) last.clear()
    last.set(path, { untilMs: performance.now() + restFactor * (performance.now() - startMs), found })
    return found
  }
}
