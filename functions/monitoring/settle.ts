import type { Ctx } from '../context.ts'
import { dispatchDirectives } from '../directive/dispatch.ts'
import { describeError } from '../http/describe-error.ts'
import { tellMonitoring } from './tell.ts'
import { workOutSites } from './work-out.ts'

/** Brings what sites watch to what they should watch, a bounded step at a time: works it out, and tells those that follow something else. */
export async function settleMonitoring(ctx: Ctx): Promise<number> {
  await workOutSites(ctx)
  return tellMonitoring(ctx)
}

/** After an operator's change: the first step at once, not waited for; the schedule takes the others. */
export function settleSoon(ctx: Ctx): void {
  const work = async (): Promise<void> => {
    if ((await settleMonitoring(ctx)) > 0) await dispatchDirectives(ctx)
  }
  ctx.background(work().catch((error: unknown) => ctx.log.write('warn', 'monitoring.settle-failed', { requestId: ctx.requestId, cause: describeError(error) })))
}
