import { systemClock } from '../adapters/node/system-clock.ts'
import { refuseRequest } from '../platform/refuse-request.ts'
import { openWorkerPlatform, type Execution, type WorkerPlatform } from '../platform/worker.ts'
import type { WorkerBindings } from '../platform/worker-env.ts'

/** The controller as a Cloudflare Worker: requests, and a cron trigger every minute. */
let kept: WorkerPlatform | undefined

/**
 * Built once per isolate, and again after it failed (a database that did not answer). Nobody waits for what another invocation builds:
 * one that ends early would never be through with it.
 */
async function platform(bindings: WorkerBindings): Promise<WorkerPlatform> {
  return (kept ??= await openWorkerPlatform(bindings))
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
