import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { webhook } from '../../db/schema/webhook.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { loadWebhook, webhookUnmoved } from './load.ts'
import { clearEndpoints } from './watch-endpoints.ts'

/** Removes a webhook. What waits for it is dropped, and its log goes with the time that logs are kept. Throws `not-found`, `precondition-failed`. */
export async function removeWebhook(ctx: Ctx, id: string, input: { ifMatch: number | null }): Promise<null> {
  const row = await loadWebhook(ctx, id)
  checkIfMatch(input.ifMatch, row.version)
  await ctx.db.write([
    statement(ctx.db.orm.delete(webhook).where(eq(webhook.id, id))),
    { sql: `UPDATE delivery SET state = 'dropped', ended_ms = ? WHERE webhook_id = ? AND state = 'waiting'`, args: [ctx.nowMs, id] },
    ...clearEndpoints(ctx, [id]),
    recordEvents(ctx, [{ action: 'webhook.remove', entity: `webhook/${id}`, why: row.name }]),
  ], [webhookUnmoved(row)])
  return null
}
