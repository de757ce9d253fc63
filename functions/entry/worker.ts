import { systemClock } from '../adapters/node/system-clock.ts'
import { refuseRequest } from '../platform/refuse-request.ts'
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
    let opened: WorkerPlatform
    try {
      opened = await platform(bindings)
    } catch (error) {
      return refuseRequest(error, systemClock.nowMs())
    }
    return opened.fetch(request, execution)
  },
  async scheduled(event: { scheduledTime: number }, bindings: WorkerBindings, execution: Execution): Promise<void> {
    await (await platform(bindings)).runJobs(event.scheduledTime, execution)
  },
}
