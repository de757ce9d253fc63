import type { Statement } from '../../db/client.ts'
import type { DeliveryRow, WebhookRow } from '../../db/schema/webhook.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import type { Tried } from './attempt.ts'
import { failingRounds } from './decide-next.ts'
import { retryDelayMs } from './retry-delay.ts'

/** A message of a round, as it was claimed, and what came of it. */
export type Result = Tried & { message: Pick<DeliveryRow, 'seq' | 'id' | 'createdMs' | 'attempts' | 'log' | 'leasedUntilMs'> }

const attemptsKept = 5
/** An endpoint that fails is left alone for as long as a message after this many attempts, and no longer than the message that failed: then the next whose turn it is may try. */
const holdAttempt = 3
/** Messages that are given up without a last try, when the endpoint has failed for as long as they are old. */
const givenUpMax = 500

const endMsOf = (message: { createdMs: number }): number => message.createdMs + limits.webhookRetryForMs

/** The statements that make true what came of one round of attempts: a row for each message, and one for the endpoint where its state is new. */
export function recordResults(ctx: Ctx, webhook: WebhookRow, results: readonly Result[]): Statement[] {
  const rows = results.map(({ message, attempt, verdict }) => {
    const attempts = message.attempts + 1
    const log = JSON.stringify([...message.log, attempt].slice(-attemptsKept))
    const state = verdict.kind === 'delivered' ? 'delivered' : ctx.nowMs >= endMsOf(message) ? 'dead' : 'waiting'
    const dueMs = Math.min(ctx.nowMs + retryDelayMs(message.id, attempts), endMsOf(message))
    return [message.seq, message.leasedUntilMs, state, attempts, log, state === 'waiting' ? dueMs : ctx.nowMs, state === 'waiting' ? null : ctx.nowMs] as const
  })
  const delivered = results.some(({ verdict }) => verdict.kind === 'delivered')
  return [
    {
      // whoever lost the lease meanwhile says nothing any more, unless it is that the message has arrived
      sql: `UPDATE delivery SET state = j.value->>2, attempts = j.value->>3, log = j.value->>4, due_ms = j.value->>5, ended_ms = j.value->>6, leased_until_ms = 0
            FROM json_each(?) AS j WHERE delivery.seq = j.value->>0 AND delivery.state = 'waiting' AND (delivery.leased_until_ms = j.value->>1 OR j.value->>2 = 'delivered')`,
      args: [JSON.stringify(rows)],
    },
    ...(delivered ? recovered(ctx, webhook, results) : failed(ctx, webhook, results)),
    ...(rows.some(([, , state]) => state === 'dead') ? [{ sql: 'UPDATE webhook SET given_up_ms = ? WHERE id = ?', args: [ctx.nowMs, webhook.id] }] : []),
    ...(results.some(({ verdict }) => verdict.kind === 'gone') ? disable(ctx, webhook) : []),
  ]
}

/** Until when the endpoint wants nothing, as its answers say; 0 when they do not. */
const wantedHoldMs = (ctx: Ctx, results: readonly Result[]): number =>
  Math.max(0, ...results.map(({ verdict }) => (verdict.kind === 'failed' && verdict.retryAfterMs !== null ? ctx.nowMs + verdict.retryAfterMs : 0)))

/** It takes messages: what waited because it did not is due now. Writes nothing where it never failed. */
function recovered(ctx: Ctx, webhook: WebhookRow, results: readonly Result[]): Statement[] {
  const holdMs = wantedHoldMs(ctx, results)
  const statements: Statement[] = []
  if (webhook.failures > 0 || webhook.givenUpMs !== null || webhook.failingSinceMs !== null || webhook.holdUntilMs > ctx.nowMs || holdMs > 0) {
    statements.push({ sql: 'UPDATE webhook SET failures = 0, failing_since_ms = NULL, given_up_ms = NULL, hold_until_ms = ? WHERE id = ?', args: [holdMs, webhook.id] })
  }
  if (webhook.failures >= failingRounds) statements.push(dueNow(ctx, webhook.id))
  return statements
}

/** What waits for a later attempt need not any more. Writes the messages that were tried while the endpoint failed. */
export const dueNow = (ctx: Ctx, webhookId: string): Statement => ({
  sql: `UPDATE delivery SET due_ms = ? WHERE webhook_id = ? AND state = 'waiting' AND due_ms > ?`, args: [ctx.nowMs, webhookId, ctx.nowMs],
})

function failed(ctx: Ctx, webhook: WebhookRow, results: readonly Result[]): Statement[] {
  const failures = webhook.failures + 1
  const [{ message }] = results as [Result]
  const probeMs = failures < failingRounds ? 0 : ctx.nowMs + Math.min(...[message.attempts + 1, holdAttempt].map((attempt) => retryDelayMs(message.id, attempt)))
  return [
    {
      sql: 'UPDATE webhook SET failures = failures + 1, failing_since_ms = coalesce(failing_since_ms, ?), hold_until_ms = max(hold_until_ms, ?) WHERE id = ?',
      args: [ctx.nowMs, Math.max(probeMs, wantedHoldMs(ctx, results)), webhook.id],
    },
    ...(failures < failingRounds ? [] : giveUp(ctx, webhook.id)),
  ]
}

/** The endpoint does not answer: what has waited for it as long as anything waits is given up, tried or not. */
const giveUp = (ctx: Ctx, webhookId: string): Statement[] => [
  {
    sql: `UPDATE webhook SET given_up_ms = ? WHERE id = ? AND EXISTS (SELECT 1 FROM delivery WHERE webhook_id = ? AND ${overdue})`,
    args: [ctx.nowMs, webhookId, webhookId, ctx.nowMs - limits.webhookRetryForMs, ctx.nowMs],
  },
  endOverdue(ctx, webhookId),
]

const overdue = `state = 'waiting' AND created_ms <= ? AND leased_until_ms <= ?`

/** Ends what nobody has taken in three days; the oldest 500. It can be replayed. */
export const endOverdue = (ctx: Ctx, webhookId: string): Statement => ({
  sql: `UPDATE delivery SET state = 'dead', ended_ms = ? WHERE seq IN (SELECT seq FROM delivery WHERE webhook_id = ? AND ${overdue} ORDER BY seq LIMIT ${givenUpMax})`,
  args: [ctx.nowMs, webhookId, ctx.nowMs - limits.webhookRetryForMs, ctx.nowMs],
})

/** There is nobody any more: nothing is sent until a person enables it again, and what waits stays for as long as it would have been tried. */
function disable(ctx: Ctx, webhook: WebhookRow): Statement[] {
  const reason = 'it answered 410 Gone'
  return [
    { sql: `UPDATE webhook SET state = 'disabled', disabled_reason = ?, failing_since_ms = coalesce(failing_since_ms, ?), version = version + 1 WHERE id = ? AND state = 'enabled'`, args: [reason, ctx.nowMs, webhook.id] },
    recordEvents(ctx, [{ action: 'webhook.disable', entity: `webhook/${webhook.id}`, why: reason }]),
  ]
}
