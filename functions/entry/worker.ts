import { openWorkerPlatform, type Execution, type WorkerPlatform } from '../platform/worker.ts'
import type { WorkerBindings } from '../platform/worker-env.ts'

/** The controller as a Cloudflare Worker: requests, and a cron trigger every minute. */
let opening: Promise<WorkerPlatform> | undefined

/** Built once per isolate; one that failed (a database that did not answer) is built again by the next invocation. */
function platform(bindings: WorkerBindings): Promise<WorkerPlatform> {
  opening ??= openWorkerPlatform(bindings).catch((error: unknown) => {
    opening = undefined
    throw error
  })
  return opening
}

export default {
  async fetch(request: Request, bindings: WorkerBindings, execution: Execution): Promise<Response> {
    return (await platform(bindings)).fetch(request, execution)
  },
  async scheduled(event: { scheduledTime: number }, bindings: WorkerBindings, execution: Execution): Promise<void> {
    await (await platform(bindings)).runJobs(event.scheduledTime, execution)
  },
}
