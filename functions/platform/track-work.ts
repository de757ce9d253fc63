import type { Log } from '../ports/log.ts'

/** Work that goes on after an answer: nothing depends on its end, and a process that stops waits for it all the same. */
export function createWorkTracker(log: Log): { background(work: Promise<unknown>): void; settled(spanMs: number): Promise<void> } {
  const running = new Set<Promise<unknown>>()
  return {
    background(work) {
      const tracked = work.catch((error: unknown) => log.write('error', 'background.failed', { detail: error instanceof Error ? (error.stack ?? error.message) : String(error) })).finally(() => running.delete(tracked))
      running.add(tracked)
    },
    async settled(spanMs) {
      let timer: NodeJS.Timeout | undefined
      const timeUp = new Promise<void>((resolve) => (timer = setTimeout(resolve, spanMs)))
      await Promise.race([Promise.all(running), timeUp])
      clearTimeout(timer)
    },
  }
}
