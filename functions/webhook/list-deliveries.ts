import { and, desc, eq, sql } from 'drizzle-orm'
import * as z from 'zod'
import { delivery } from '../../db/schema/webhook.ts'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOfScan } from '../http/pages.ts'
import { loadWebhook } from './load.ts'
import { viewDelivery } from './view.ts'

type Contract = typeof webhookContracts.listDeliveries

/** Rows that one request looks through for those of a state. */
const scannedMax = 1000

const columns = {
  seq: delivery.seq, id: delivery.id, webhookId: delivery.webhookId, state: delivery.state, types: delivery.types, subject: delivery.subject, eventCount: delivery.eventCount,
  createdMs: delivery.createdMs, dueMs: delivery.dueMs, attempts: delivery.attempts, replayOf: delivery.replayOf,
}

/** Messages, newest first. Reads one row more than it shows; of one state at most 1,000, so that a page may be short while there is more. */
export async function listDeliveries(ctx: Ctx, webhookId: string, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  await loadWebhook(ctx, webhookId)
  const before = decodeCursor(z.tuple([z.int(), z.int()]), query.cursor)
  const wanted = and(eq(delivery.webhookId, webhookId), before === null ? undefined : sql`(${delivery.createdMs}, ${delivery.seq}) < (${before[0]}, ${before[1]})`)
  const scanMax = query.state === undefined ? query.limit + 1 : scannedMax
  const rows = await ctx.db.orm.select(columns).from(delivery).where(wanted).orderBy(desc(delivery.createdMs), desc(delivery.seq)).limit(scanMax)
  return pageOfScan(rows, { limit: query.limit, scanMax, isWanted: ({ state }) => query.state === undefined || state === query.state, view: viewDelivery, keyOf: (row) => [row.createdMs, row.seq] })
}
