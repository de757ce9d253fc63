import { eq } from 'drizzle-orm'
import { webhook } from '../../db/schema/webhook.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { endOverdue } from './record-results.ts'

/**
 * Forgets messages that ended longer ago than logs are kept, at most 1,000 a run, and ends those that have waited too long for a disabled endpoint, at most 500 each.
 * Reads the webhooks and the rows it writes.
 */
export async function expireDeliveries(ctx: Ctx): Promise<number> {
  const disabled = await ctx.db.orm.select({ id: webhook.id }).from(webhook).where(eq(webhook.state, 'disabled')).limit(limits.webhooksMax)
  const [deleted] = await ctx.db.write([
    { sql: 'DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery WHERE ended_ms < ? LIMIT 1000)', args: [ctx.nowMs - limits.webhookLogMs] },
    ...disabled.map(({ id }) => endOverdue(ctx, id)),
  ])
  return deleted!.rowsAffected
}
