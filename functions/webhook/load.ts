import { eq } from 'drizzle-orm'
import type { Guard } from '../../db/client.ts'
import { webhook, type WebhookRow } from '../../db/schema/webhook.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'

/** Throws `not-found`. */
export async function loadWebhook(ctx: Pick<Ctx, 'db'>, id: string): Promise<WebhookRow> {
  const [row] = await ctx.db.orm.select().from(webhook).where(eq(webhook.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no webhook ${id}`)
  return row
}

/** The webhook is still at the version it was read with. */
export const webhookUnmoved = (row: WebhookRow): Guard => ({ sql: 'SELECT version FROM webhook WHERE id = ?', args: [row.id], is: row.version })
