import { runJob, type Job } from '../jobs.ts'
import type { Log } from '../ports/log.ts'

/** Runs each job now and then at its own pace, never twice at a time. `stop` waits for those that run. */
export function scheduleJobs(jobs: readonly Job[], log: Log): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const pause = (spanMs: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(done, spanMs)
      function done(): void {
        clearTimeout(timer)
        stopping.signal.removeEventListener('abort', done)
        resolve()
      }
      stopping.signal.addEventListener('abort', done)
    })
  const repeat = async (job: Job): Promise<void> => {
    while (!stopping.signal.aborted) {
      await runJob(job, log)
      if (!stopping.signal.aborted) await pause(job.everyMs)
    }
  }
  const running = jobs.map(repeat)
  return {
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
  }
}
