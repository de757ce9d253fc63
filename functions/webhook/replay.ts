import { and, eq, gte, inArray, isNull, lt, ne, sql } from 'drizzle-orm'
import { GuardLost } from '../../db/client.ts'
import { delivery, type WebhookRow } from '../../db/schema/webhook.ts'
import { FleetError } from '../../protocol/errors.ts'
import { at, type BodyOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { loadDelivery } from './get-delivery.ts'
import { loadWebhook } from './load.ts'

type Contract = typeof webhookContracts.replayDeliveries
type Range = Extract<BodyOf<Contract>, { from: string }>
type Original = { id: string; createdMs: number }

/** More than one run makes of what is new in the logs: what was made in one moment. */
const momentMax = 20_000

/**
 * Sends messages once more: the same events under new message ids, behind whatever waits. One, or those that were made in a time range, at most `webhookReplayMax` a request
 * (more only where more were made in one moment), oldest first. Of the undelivered, those are left out that were replayed already and wait or arrived. Throws `not-found`, and `conflict` for an endpoint that is disabled and for a
 * message that still waits.
 */
export async function replayDeliveries(ctx: Ctx, webhookId: string, input: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  const row = await loadWebhook(ctx, webhookId)
  if (row.state === 'disabled') throw new FleetError('conflict', `${row.name} is disabled: enable it first`, { reason: 'disabled' })
  const { originals, nextMs } = 'delivery' in input ? await findOne(ctx, webhookId, input.delivery) : await findRange(ctx, webhookId, input)
  if (originals.length > 0) await copy(ctx, row, originals, 'delivery' in input ? `message ${input.delivery}` : `${input.which} from ${input.from} to ${input.to}`)
  return { replayed: originals.length, next: nextMs === null ? null : at(nextMs) }
}

async function findOne(ctx: Ctx, webhookId: string, id: string): Promise<{ originals: Original[]; nextMs: null }> {
  const original = await loadDelivery(ctx, webhookId, id)
  if (original.state === 'waiting') throw new FleetError('conflict', `message ${id} still waits: it is sent without that`, { reason: 'waiting' })
  return { originals: [original], nextMs: null }
}

/** Reads the messages of the range in their order until there are enough, and for each undelivered one its replays. */
async function findRange(ctx: Ctx, webhookId: string, range: Range): Promise<{ originals: Original[]; nextMs: number | null }> {
  const taken = sql`EXISTS (SELECT 1 FROM delivery r WHERE r.replay_of = delivery.id AND r.state IN ('waiting', 'delivered'))`
  const which = range.which === 'all' ? ne(delivery.state, 'waiting') : and(inArray(delivery.state, ['dead', 'dropped']), sql`NOT ${taken}`)
  const made = (from: number, before: number, max: number) => ctx.db.orm
    .select({ id: delivery.id, createdMs: delivery.createdMs }).from(delivery)
    .where(and(eq(delivery.webhookId, webhookId), gte(delivery.createdMs, from), lt(delivery.createdMs, before), isNull(delivery.replayOf), which))
    .orderBy(delivery.createdMs, delivery.seq).limit(max)
  const rows = await made(Date.parse(range.from), Date.parse(range.to), limits.webhookReplayMax + 1)
  if (rows.length <= limits.webhookReplayMax) return { originals: rows, nextMs: null }
  // those of one moment stay together, so that the next request begins where this one ends
  const [firstMs, lastMs] = [rows[0]!.createdMs, rows.at(-1)!.createdMs]
  if (firstMs < lastMs) return { originals: rows.filter(({ createdMs }) => createdMs < lastMs), nextMs: lastMs }
  return { originals: await made(firstMs, firstMs + 1, momentMax), nextMs: firstMs + 1 }
}

async function copy(ctx: Ctx, row: WebhookRow, originals: readonly Original[], what: string): Promise<void> {
  const pairs = JSON.stringify(originals.map(({ id }) => [id, `wd_${ctx.ids.sortable(ctx.nowMs)}`]))
  const enabled = { sql: 'SELECT state FROM webhook WHERE id = ?', args: [row.id], is: 'enabled' }
  try {
    await ctx.db.write([
      {
        sql: `INSERT INTO delivery (id, webhook_id, state, order_keys, types, subject, events, event_count, created_ms, due_ms, leased_until_ms, attempts, log, replay_of)
              SELECT j.value->>1, d.webhook_id, 'waiting', d.order_keys, d.types, d.subject, d.events, d.event_count, ?, ?, 0, 0, '[]', d.id FROM json_each(?) AS j JOIN delivery d ON d.id = j.value->>0 ORDER BY j.key`,
        args: [ctx.nowMs, ctx.nowMs, pairs],
      },
      // somebody wants it now
      { sql: 'UPDATE webhook SET hold_until_ms = 0 WHERE id = ? AND hold_until_ms > 0', args: [row.id] },
      recordEvents(ctx, [{ action: 'webhook.replay', entity: `webhook/${row.id}`, why: what, detail: { messages: originals.length } }]),
    ], [enabled])
  } catch (error) {
    if (error instanceof GuardLost) throw new FleetError('conflict', `${row.name} was disabled meanwhile`, { reason: 'disabled' })
    throw error
  }
}
