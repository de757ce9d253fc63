import { and, eq } from 'drizzle-orm'
import { GuardLost } from '../../db/client.ts'
import { delivery, webhook, type DeliveryRow, type WebhookRow } from '../../db/schema/webhook.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import type { Allowance } from './allowance.ts'
import { attemptDelivery } from './attempt.ts'
import { decideNext, type Next, type QueuedMessage } from './decide-next.ts'
import { recordResults, type Result } from './record-results.ts'

/** Workers let work go on for half a minute after an answer: no round begins after this, and none lasts longer than `runMsMax`. */
const beginMsMax = 10_000
const runMsMax = 20_000
const roundsMax = 500
/** How many of the oldest messages that wait are looked at. */
const queueRowsMax = 200
/** Whoever claimed a message and has not said what came of it by then was killed: it is sent again, under the same id. */
const leaseMs = limits.webhookTimeoutMs + 45_000

/** Requests to claim a round and to record it, and those of one attempt at most. */
const [roundRequests, attemptRequests] = [2, 3]

type Claimed = Pick<DeliveryRow, 'seq' | 'id' | 'events' | 'createdMs' | 'attempts' | 'log' | 'leasedUntilMs'>

/**
 * Sends what waits for one endpoint, round by round: claim, try, record. Whatever kills it in between, a message is sent at least once, and under one id. Ends when
 * nothing is due, after a round in which everything failed, or when its time or what it may send is used up. Each round reads at most 201 rows and writes one for each message twice.
 */
export async function deliverMessages(ctx: Ctx, webhookId: string, allowance: Allowance): Promise<void> {
  const startedMs = ctx.clock.nowMs()
  for (let round = 0; round < roundsMax && allowance.requests > roundRequests + attemptRequests; round++) {
    const now = { ...ctx, nowMs: ctx.clock.nowMs() }
    const leftMs = startedMs + runMsMax - now.nowMs
    if (leftMs < runMsMax - beginMsMax) return
    allowance.requests--
    const found = await readQueue(now, webhookId)
    if (found === null) return
    const next = decideNext(found.queue, found.row, now.nowMs, Math.floor((allowance.requests - roundRequests) / attemptRequests))
    if (next.take.length === 0) {
      if (next.waitMs === null || ctx.clock.pause === undefined || next.waitMs > beginMsMax) return
      await ctx.clock.pause(next.waitMs)
      continue
    }
    allowance.requests -= roundRequests + next.take.length * attemptRequests
    const claimed = await claim(now, found.row, next)
    // somebody else was quicker, or the endpoint was changed: look again
    if (claimed === null) continue
    if (!(await sendRound(now, found.row, claimed, Math.min(leftMs, limits.webhookTimeoutMs)))) return
  }
}

/** The endpoint and the head of its queue; null when it is disabled or gone. */
async function readQueue(ctx: Ctx, webhookId: string): Promise<{ row: WebhookRow; queue: QueuedMessage[] } | null> {
  const columns = { seq: delivery.seq, orderKeys: delivery.orderKeys, dueMs: delivery.dueMs, leasedUntilMs: delivery.leasedUntilMs }
  const [[row], queue] = await ctx.db.orm.batch([
    ctx.db.orm.select().from(webhook).where(eq(webhook.id, webhookId)),
    ctx.db.orm.select(columns).from(delivery).where(and(eq(delivery.webhookId, webhookId), eq(delivery.state, 'waiting'))).orderBy(delivery.seq).limit(queueRowsMax),
  ])
  return row === undefined || row.state === 'disabled' ? null : { row, queue }
}

/** Takes messages for itself until their lease ends, as they are now; null when the endpoint or one of them is not as it was read. */
async function claim(ctx: Ctx, row: WebhookRow, next: Next): Promise<Claimed[] | null> {
  const leasedUntilMs = ctx.nowMs + leaseMs
  const seqs = JSON.stringify(next.take.map(({ seq }) => seq))
  const endpoint = { sql: `SELECT state || '/' || version || '/' || failures || '/' || hold_until_ms || '/' || paced_until_ms FROM webhook WHERE id = ?`, args: [row.id], is: `${row.state}/${row.version}/${row.failures}/${row.holdUntilMs}/${row.pacedUntilMs}` }
  const free = { sql: `SELECT count(*) FROM delivery WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'waiting' AND leased_until_ms <= ?`, args: [seqs, ctx.nowMs], is: next.take.length }
  try {
    const [, taken] = await ctx.db.write([
      { sql: 'UPDATE webhook SET paced_until_ms = ? WHERE id = ?', args: [next.pacedUntilMs, row.id] },
      { sql: 'UPDATE delivery SET leased_until_ms = ? WHERE seq IN (SELECT value FROM json_each(?)) RETURNING seq, id, events, created_ms, attempts, log', args: [leasedUntilMs, seqs] },
    ], [endpoint, free])
    return taken!.rows.map((each) => ({
      seq: Number(each.seq), id: String(each.id), events: JSON.parse(String(each.events)) as DeliveryRow['events'], createdMs: Number(each.created_ms),
      attempts: Number(each.attempts), log: JSON.parse(String(each.log)) as DeliveryRow['log'], leasedUntilMs,
    }))
  } catch (error) {
    if (error instanceof GuardLost) return null
    throw error
  }
}

/** Tries each message once, all at the same time; whether any was taken. */
async function sendRound(ctx: Ctx, row: WebhookRow, claimed: readonly Claimed[], timeoutMs: number): Promise<boolean> {
  const results = await Promise.all(claimed.map(async (message): Promise<Result> => ({ message, ...(await attemptDelivery(ctx, row, message, timeoutMs)) })))
  const after = { ...ctx, nowMs: ctx.clock.nowMs() }
  await after.db.write(recordResults(after, row, results))
  const delivered = results.filter(({ verdict }) => verdict.kind === 'delivered').length
  if (delivered < results.length) ctx.log.write('warn', 'webhook.undelivered', { webhook: row.id, failed: results.length - delivered, of: results.length, requestId: ctx.requestId })
  return delivered > 0
}
