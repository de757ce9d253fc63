import { and, eq } from 'drizzle-orm'
import { delivery, type DeliveryRow } from '../../db/schema/webhook.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import type { Ctx } from '../context.ts'
import { loadWebhook } from './load.ts'
import { renderMessage } from './render.ts'
import { viewDelivery } from './view.ts'

/** Throws `not-found`. */
export async function loadDelivery(ctx: Ctx, webhookId: string, id: string): Promise<DeliveryRow> {
  const [row] = await ctx.db.orm.select().from(delivery).where(and(eq(delivery.id, id), eq(delivery.webhookId, webhookId)))
  if (row === undefined) throw new FleetError('not-found', `there is no message ${id} to ${webhookId}; messages are kept for two weeks`)
  return row
}

/** One message, with its body as it is sent, except for what is secret in it. */
export async function getDelivery(ctx: Ctx, webhookId: string, id: string): Promise<ResponseOf<typeof webhookContracts.getDelivery>> {
  const { format, urlShown } = await loadWebhook(ctx, webhookId)
  const row = await loadDelivery(ctx, webhookId, id)
  const target = { url: urlShown, routingKey: '…' }
  return { ...viewDelivery(row), body: renderMessage({ format, target, fleet: ctx.config.fleet }, { id: row.id, events: row.events, createdMs: row.createdMs }).body, log: row.log }
}
