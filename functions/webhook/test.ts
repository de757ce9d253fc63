import type { DeliveryAttempt } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { attemptDelivery } from './attempt.ts'
import { testEventOf } from './make-events.ts'
import { loadWebhook } from './load.ts'

/** Sends a test event at once and once, past the queue, to one that is disabled too, and says what came back. Nothing of it counts for or against the endpoint. */
export async function testWebhook(ctx: Ctx, id: string, message: string): Promise<DeliveryAttempt> {
  const row = await loadWebhook(ctx, id)
  const made = ctx.ids.sortable(ctx.nowMs)
  const event = testEventOf(ctx.config.fleet, id, message, made, ctx.nowMs)
  const { attempt } = await attemptDelivery(ctx, row, { id: `wd_${made}`, events: [event], createdMs: ctx.nowMs }, limits.webhookTimeoutMs)
  await ctx.db.write([recordEvents(ctx, [{ action: 'webhook.test', entity: `webhook/${id}`, why: message, detail: { status: attempt.status, error: attempt.error } }])])
  return attempt
}
