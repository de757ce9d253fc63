import { eq } from 'drizzle-orm'
import { webhook } from '../../db/schema/webhook.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { endOverdue } from './record-results.ts'

const batchMax = 1000
const batchesMax = 20

/**
 * Forgets messages that ended longer ago than logs are kept, at most 20,000 a run (it comes every hour, and after a storm there are many), and ends those that have
 * waited too long for a disabled endpoint, at most 500 each. Reads the webhooks and the rows it writes.
 */
export async function expireDeliveries(ctx: Ctx): Promise<number> {
  const disabled = await ctx.db.orm.select({ id: webhook.id }).from(webhook).where(eq(webhook.state, 'disabled')).limit(limits.webhooksMax)
  if (disabled.length > 0) await ctx.db.write(disabled.map(({ id }) => endOverdue(ctx, id)))
  let deleted = 0
  for (let batch = 0; batch < batchesMax && deleted === batch * batchMax; batch++) {
    const [done] = await ctx.db.write([{ sql: 'DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery WHERE ended_ms < ? LIMIT ?)', args: [ctx.nowMs - limits.webhookLogMs, batchMax] }])
    deleted += done!.rowsAffected
  }
  return deleted
}
