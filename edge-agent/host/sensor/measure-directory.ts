import { lstat, opendir } from 'node:fs/promises'
import { ok, refuse, type Result } from '../../../protocol/result.ts'

export type DirectorySize = { sizeBytes: number; complete: boolean }
/** Null: there is no such directory. */
type Measured = Result<DirectorySize, string> | null

const entriesMax = 50_000
const spanMsMax = 10_000
const blockBytes = 512
const entriesAtOnce = 64
/** A directory is measured anew after this many times what that last took, so that it never costs more than a twentieth of the time. */
const restFactor = 20
const kept = 256

/**
 * What everything below a directory takes on its disk, in bytes: blocks, not lengths, and a file with several names once. Links are
 * not followed, nor is what is mounted below. Stops after 50,000 entries or ten seconds, and then says that it is not complete.
 * Asks for one entry after the other: where the disk begins to hang meanwhile, that holds one thread and not all.
 */
async function measure(path: string): Promise<Measured> {
  const top = await lstat(path).catch((error: NodeJS.ErrnoException) => error.code ?? error.message)
  if (top === 'ENOENT' || top === 'ENOTDIR') return null
  if (typeof top === 'string') return refuse(`it cannot be read: ${top}`)
  if (!top.isDirectory()) return refuse('it is not a directory')
  const endMs = performance.now() + spanMsMax
  const seen = new Set<number>()
  const pending = [path]
  let sizeBytes = top.blocks * blockBytes
  let entries = 0
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for await (const below of entriesOf(directory)) {
      if (++entries > entriesMax || performance.now() > endMs) return ok({ sizeBytes, complete: false })
      const stats = await lstat(below).catch(() => null)
      if (stats === null || stats.dev !== top.dev || seen.has(stats.ino)) continue
      if (stats.nlink > 1 && !stats.isDirectory()) seen.add(stats.ino)
      sizeBytes += stats.blocks * blockBytes
      if (stats.isDirectory()) pending.push(below)
    }
  }
  return ok({ sizeBytes, complete: true })
}

/** What is in a directory; of one that is removed meanwhile, or cannot be read, what could be. */
async function* entriesOf(directory: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(directory, { bufferSize: entriesAtOnce })) yield `${directory}/${name}`
  } catch {
    // what was read of it counts
  }
}

/** Measures one directory at a time, and gives what it last found while that is new enough for what it cost. */
export function createDirectoryScale(): (path: string) => Promise<Measured> {
  const last = new Map<string, { untilMs: number; found: Measured }>()
  let measuring = false
  return async (path) => {
    const before = last.get(path)
    if (before !== undefined && performance.now() < before.untilMs) return before.found
    if (measuring) return refuse('another is still being measured')
    measuring = true
    const startMs = performance.now()
    const found = await measure(path).finally(() => (measuring = false))
    if (last.size >= kept) last.clear()
    last.set(path, { untilMs: performance.now() + restFactor * (performance.now() - startMs), found })
    return found
  }
}
