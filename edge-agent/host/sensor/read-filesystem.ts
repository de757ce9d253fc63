import { statfs } from 'node:fs/promises'
import type { FilesystemSample } from '../sensors.ts'

const answerMs = 5000
/** Where a disk hangs, so does the question, and holds one of the few threads that ask: it is not asked again before it has answered. */
const unanswered = new Set<string>()

type Facts = Pick<FilesystemSample, 'sizeBytes' | 'usedBytes' | 'availableBytes' | 'inodes'>

async function ask(path: string): Promise<Facts> {
  unanswered.add(path)
  try {
    const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path)
    return { sizeBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize, availableBytes: bavail * bsize, inodes: files === 0 ? null : { total: files, available: ffree } }
  } finally {
    unanswered.delete(path)
  }
}

/** How full the filesystem is that holds a path, or null where it does not say within five seconds, or holds nothing at all. */
export async function readFilesystem(path: string): Promise<Facts | null> {
  if (unanswered.has(path)) return null
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => (timer = setTimeout(resolve, answerMs, null)))
  const facts = await Promise.race([ask(path).catch(() => null), late])
  clearTimeout(timer)
  return facts !== null && facts.sizeBytes > 0 && Object.values(facts).every((each) => typeof each !== 'number' || (Number.isSafeInteger(each) && each >= 0)) ? facts : null
}
