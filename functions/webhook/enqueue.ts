import { and, desc, eq, isNull, sql } from 'drizzle-orm'
import { GuardLost, type Guard, type Statement } from '../../db/client.ts'
import { delivery, type WebhookRow } from '../../db/schema/webhook.ts'
import { eventPrefix, type FleetEvent } from '../../protocol/events.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import type { Allowance } from './allowance.ts'
import { coalesce, singlesMax, type OpenMessage, type Queue } from './coalesce.ts'
import { allowedNow } from './decide-next.ts'
import { fits } from './fits.ts'
import { endpointEntity, gatherEvents, type Cursors } from './gather-events.ts'
import { hashOf } from './hash.ts'
import type { Endpoint } from './read-endpoints.ts'
import { groupsOf } from './render.ts'

/**
 * Makes messages of what is new in the logs for those of these endpoints that are behind. One step: at most 500 entries of each log for all that have read equally far. What is
 * silent is told to nobody, and nobody is told that he himself cannot be reached. Messages and cursors are one batch, guarded by the cursors: of two runs at once one does
 * nothing (F48). Writes a row for each message, and one for each endpoint. What goes wrong for one endpoint is logged and left to a later run.
 */
export async function enqueueEvents(ctx: Ctx, endpoints: readonly Endpoint[], allowance: Allowance): Promise<void> {
  const groups = Map.groupBy(endpoints, ({ row }) => `${row.alarmSeq}/${row.auditSeq}`)
  for (const group of groups.values()) {
    allowance.requests -= 1 + 2 * group.length
    const { candidates, until } = await gatherEvents(ctx, group[0]!.row)
    await Promise.all(group.map(async ({ row }) => {
      const wanted = candidates.filter(({ about }) => about !== endpointEntity(row.id)).filter(fits(row.filter)).map(({ event }) => event)
      await enqueueFor(ctx, row, wanted, until).catch((error: unknown) => {
        if (!(error instanceof GuardLost)) ctx.log.write('error', 'webhook.enqueue-failed', { webhook: row.id, requestId: ctx.requestId, cause: describeError(error) })
      })
    }))
  }
}

async function enqueueFor(ctx: Ctx, row: WebhookRow, events: readonly FleetEvent[], until: Cursors): Promise<void> {
  const eventsMax = groupsOf(row.format)
  const queue = events.length === 0 ? nothingWaits : await readQueue(ctx, row, eventsMax === 1 ? events : null)
  const { changed, made } = coalesce(events, queue, eventsMax)
  const cursors: Guard = { sql: "SELECT alarm_seq || '/' || audit_seq || '/' || state FROM webhook WHERE id = ?", args: [row.id], is: `${row.alarmSeq}/${row.auditSeq}/enabled` }
  const statements: Statement[] = [{ sql: 'UPDATE webhook SET alarm_seq = ?, audit_seq = ? WHERE id = ?', args: [until.alarmSeq, until.auditSeq, row.id] }]
  if (made.length > 0) statements.push(insertMessages(ctx, row.id, made))
  if (changed.length > 0) {
    statements.push({
      sql: `UPDATE delivery SET order_keys = j.value->>1, types = j.value->>2, subject = j.value->>3, events = j.value->>4, event_count = j.value->>5 FROM json_each(?) AS j WHERE delivery.seq = j.value->>0`,
      args: [JSON.stringify(changed.map(({ seq, events: now }) => [seq, ...columnsOf(now)]))],
    })
  }
  await ctx.db.write(statements, [cursors, stillOpen(changed)])
}

const nothingWaits: Queue = { oldest: [], room: 0, newest: null, bySubject: new Map() }
/** Nobody has tried it, and it repeats nothing: what it says may still change. */
const isOpen = and(eq(delivery.attempts, 0), eq(delivery.leasedUntilMs, 0), isNull(delivery.replayOf))

/** Reads at most 22 rows, and where `events` have to take the places of older ones, a row for each. */
async function readQueue(ctx: Ctx, row: WebhookRow, events: readonly FleetEvent[] | null): Promise<Queue> {
  const waits = and(eq(delivery.webhookId, row.id), eq(delivery.state, 'waiting'))
  const columns = { seq: delivery.seq, events: delivery.events }
  if (events === null) {
    const [oldest, [newest]] = await ctx.db.orm.batch([
      ctx.db.orm.select({ seq: delivery.seq, orderKeys: delivery.orderKeys, dueMs: delivery.dueMs, leasedUntilMs: delivery.leasedUntilMs }).from(delivery).where(waits).orderBy(delivery.seq).limit(singlesMax + 1),
      ctx.db.orm.select({ ...columns, open: sql<number>`${isOpen}` }).from(delivery).where(waits).orderBy(desc(delivery.seq)).limit(1),
    ])
    const ready = oldest.filter(({ dueMs, leasedUntilMs }) => dueMs <= ctx.nowMs && leasedUntilMs <= ctx.nowMs).length
    return { oldest, room: allowedNow(row, ctx.nowMs) - ready, newest: newest?.open === 1 ? newest : null, bySubject: new Map() }
  }
  const subjects = JSON.stringify([...new Set(events.map(({ subject }) => subject))])
  const rows = await ctx.db.orm.select({ ...columns, subject: delivery.subject }).from(delivery).where(and(waits, isOpen, sql`${delivery.subject} IN (SELECT value FROM json_each(${subjects}))`)).orderBy(delivery.seq)
  return { ...nothingWaits, bySubject: new Map(rows.map((open): [string, OpenMessage] => [open.subject, open])) }
}

/** What is to be changed is still untried. Who else would change it moves the cursors too. */
const stillOpen = (changed: readonly OpenMessage[]): Guard => ({
  sql: `SELECT count(*) FROM delivery WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'waiting' AND attempts = 0 AND leased_until_ms = 0`, args: [JSON.stringify(changed.map(({ seq }) => seq))], is: changed.length,
})

const typeOf = (event: FleetEvent): string => event.type.slice(eventPrefix.length)

/** order_keys, types, subject, events, event_count. */
function columnsOf(events: readonly FleetEvent[]): [string, string, string, string, number] {
  const distinct = <T>(values: readonly T[]): string => JSON.stringify([...new Set(values)])
  const subject = events.length === 1 ? events[0]!.subject : `${events.length} events`
  return [distinct(events.map((event) => hashOf(event.subject))), distinct(events.map(typeOf)), subject, JSON.stringify(events), events.length]
}

/** One statement, however many messages. */
const insertMessages = (ctx: Ctx, webhookId: string, messages: readonly (readonly FleetEvent[])[]): Statement => ({
  sql: `INSERT INTO delivery (id, webhook_id, state, order_keys, types, subject, events, event_count, created_ms, due_ms, leased_until_ms, attempts, log)
        SELECT value->>0, ?, 'waiting', value->>1, value->>2, value->>3, value->>4, value->>5, ?, ?, 0, 0, '[]' FROM json_each(?) ORDER BY key`,
  args: [webhookId, ctx.nowMs, ctx.nowMs, JSON.stringify(messages.map((events) => [`wd_${ctx.ids.sortable(ctx.nowMs)}`, ...columnsOf(events)]))],
})
