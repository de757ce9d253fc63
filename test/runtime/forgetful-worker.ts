import { openWorkerPlatform, type Execution } from '../../functions/platform/worker.ts'
import type { WorkerBindings } from '../../functions/platform/worker-env.ts'

/** The Worker as if each invocation came to a fresh isolate: nothing is kept from one to the next. */
export default {
  async fetch(request: Request, bindings: WorkerBindings, execution: Execution): Promise<Response> {
    return (await openWorkerPlatform(bindings)).fetch(request, execution)
  },
  async scheduled(event: { scheduledTime: number }, bindings: WorkerBindings, execution: Execution): Promise<void> {
    await (await openWorkerPlatform(bindings)).runJobs(event.scheduledTime, execution)
  },
}
