import type { StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { ok, refuse, type Result } from '../../../protocol/result.ts'
import type { FilesystemSample, UnreadFilesystem } from '../sensors.ts'

const answerMs = 5000
/** Beyond this a question is not put any more: others have used up the time there is for a sample. */
const waitMs = 20_000
/** Where a disk hangs, so does the question, and holds one of the four threads that do all of this process's work with files. */
const hangingMax = 2

export type FilesystemFacts = Pick<FilesystemSample, 'sizeBytes' | 'usedBytes' | 'availableBytes' | 'inodes'>
/** How full the filesystem is that holds a path (null: it holds nothing at all, or more than can be counted), or why that is not known. Bounded in time (25 seconds). */
export type ReadFilesystem = (path: string) => Promise<Result<FilesystemFacts | null, UnreadFilesystem['why']>>
type Ask = (path: string) => Promise<Pick<StatsFs, 'bsize' | 'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree'>>

function factsOf({ bsize, blocks, bfree, bavail, files, ffree }: Awaited<ReturnType<Ask>>): FilesystemFacts | null {
  const facts = { sizeBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize, availableBytes: bavail * bsize, inodes: files === 0 ? null : { total: files, available: ffree } }
  return facts.sizeBytes > 0 && Object.values(facts).every((each) => typeof each !== 'number' || (Number.isSafeInteger(each) && each >= 0)) ? facts : null
}

/**
 * Reads filesystems one after the other. One that does not answer within five seconds is not asked again before it has; while two of
 * them hang nothing is asked at all, so that there are always threads left for the agent's own files (F33).
 */
export function createFilesystemReader(ask: Ask = (path) => statfs(path)): ReadFilesystem {
  const hanging = new Set<string>()
  let queue: Promise<unknown> = Promise.resolve()

  async function answerOf(path: string): ReturnType<ReadFilesystem> {
    hanging.add(path)
    try {
      return ok(factsOf(await ask(path)))
    } catch (error) {
      return refuse((error as NodeJS.ErrnoException).code ?? 'unknown')
    } finally {
      hanging.delete(path)
    }
  }

  async function read(path: string, beganMs: number): ReturnType<ReadFilesystem> {
    if (hanging.has(path)) return refuse('no-answer')
    if (hanging.size >= hangingMax || performance.now() - beganMs > waitMs) return refuse('not-asked')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<Result<never, 'no-answer'>>((resolve) => (timer = setTimeout(resolve, answerMs, refuse('no-answer'))))
    const answer = await Promise.race([answerOf(path), late])
    clearTimeout(timer)
    return answer
  }

  return (path) => {
    const beganMs = performance.now()
    const answer = queue.then(() => read(path, beganMs))
    queue = answer
    return answer
  }
}
