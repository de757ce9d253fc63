import { gt } from 'drizzle-orm'
import * as z from 'zod'
import { webhook } from '../../db/schema/webhook.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { viewWebhook } from './view.ts'

type Contract = typeof webhookContracts.listWebhooks

/** Webhooks in the order they were made. Reads one row more than it shows, and what waits for each. */
export async function listWebhooks(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const [after] = decodeCursor(z.tuple([z.string()]), query.cursor) ?? ['']
  const rows = await ctx.db.orm.select().from(webhook).where(gt(webhook.id, after)).orderBy(webhook.id).limit(query.limit + 1)
  const { items, next } = pageOf(rows, query.limit, (row) => viewWebhook(ctx, row), (row) => [row.id])
  return { items: await Promise.all(items), next }
}
