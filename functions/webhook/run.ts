import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import type { Allowance } from './allowance.ts'
import { deliverMessages } from './deliver.ts'
import { enqueueEvents } from './enqueue.ts'
import { readEndpoints, type Endpoint } from './read-endpoints.ts'
import { takeTurn } from './take-turn.ts'
import { watchEndpoints } from './watch-endpoints.ts'

/** Steps through the logs in one run: 10,000 entries. */
const stepsMax = 20
/** Workers count the requests of an invocation, and there is more in it than this: what is over is left to the next run. Making messages keeps nobody from sending. */
const requestsPerWorker = { enqueue: 200, deliver: 300 }

/**
 * Tells subscribers what happened: what is new in the logs becomes messages, and what is due is sent, to each endpoint by itself and in the background, so that
 * none waits for another. Run by a schedule and whenever something may have happened; two at once tell nobody twice (F48). With no webhook it reads nothing, with nothing new
 * three rows for each.
 */
export async function runWebhooks(ctx: Ctx): Promise<void> {
  await takeTurn(ctx, 'webhooks', async () => {
    const now = { ...ctx, nowMs: ctx.clock.nowMs() }
    const allowed = (requests: number): Allowance => ({ requests: ctx.config.host === 'worker' ? requests : Number.POSITIVE_INFINITY })
    const endpoints = await enqueueAll(now, allowed(requestsPerWorker.enqueue))
    await watchEndpoints(now, endpoints)
    // those that answer go first, and of them who has waited longest: on Workers not all of them may have their turn in one run
    const ready = endpoints.filter(({ row, waits }) => waits && row.state === 'enabled' && row.holdUntilMs <= now.nowMs).sort((a, b) => a.row.failures - b.row.failures || a.row.pacedUntilMs - b.row.pacedUntilMs)
    const allowance = allowed(requestsPerWorker.deliver)
    for (const { row } of ready) background(ctx, takeTurn(ctx, row.id, () => deliverMessages(ctx, row.id, allowance)))
  })
}

/**
 * Rides along with a write, so that subscribers cost it no round trip: one row, whose `behind` is 1 when a log has entries that were not yet read for an enabled webhook,
 * and null where there is no webhook. Reads the webhooks, and two rows of the logs.
 */
export const webhooksBehind: Statement = {
  sql: `SELECT max(state = 'enabled' AND (alarm_seq < coalesce((SELECT max(seq) FROM alarm_event), 0) OR audit_seq < coalesce((SELECT max(seq) FROM audit), 0))) AS behind FROM webhook`,
  args: [],
}

/** At once and in the background, by the controller: after a request or a report that may have made something happen. */
export const wakeWebhooks = (ctx: Ctx): void => background(ctx, runWebhooks({ ...ctx, actor: { name: 'controller', role: 'controller' } }))

const background = (ctx: Ctx, work: Promise<void>): void =>
  ctx.background(work.catch((error: unknown) => ctx.log.write('warn', 'webhook.run-failed', { requestId: ctx.requestId, cause: describeError(error) })))

const isBehind = ({ row, ends }: Endpoint): boolean => row.state === 'enabled' && (row.alarmSeq < ends.alarmSeq || row.auditSeq < ends.auditSeq)

async function enqueueAll(ctx: Ctx, allowance: Allowance): Promise<Endpoint[]> {
  let endpoints = await readEndpoints(ctx)
  for (let step = 0; step < stepsMax && allowance.requests > 0 && endpoints.some(isBehind); step++) {
    await enqueueEvents(ctx, endpoints.filter(isBehind), allowance)
    allowance.requests--
    endpoints = await readEndpoints(ctx)
  }
  return endpoints
}
