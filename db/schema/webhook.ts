import { index, integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { FleetEvent } from '../../protocol/events.ts'
import type { DeliveryAttempt, deliveryStates, WebhookFilter, WebhookFormat } from '../../protocol/http/webhooks.ts'

/** A subscriber's endpoint. `target` is sealed: its URL and routing key. Secrets are derived; only their versions are kept. */
export const webhook = sqliteTable('webhook', {
  id: text().primaryKey(),
  name: text().notNull(),
  target: text().notNull(),
  urlShown: text('url_shown').notNull(),
  format: text().$type<WebhookFormat>().notNull(),
  signing: text().$type<'v1' | 'v1a'>().notNull(),
  secrets: text({ mode: 'json' }).$type<{ version: number; expiresMs: number | null }[]>().notNull(),
  filter: text({ mode: 'json' }).$type<WebhookFilter>().notNull(),
  perSecond: real('per_second').notNull(),
  state: text().$type<'enabled' | 'disabled'>().notNull(),
  disabledReason: text('disabled_reason'),
  /** How far the history of alarms and the audit trail have been read for it. */
  alarmSeq: integer('alarm_seq').notNull(),
  auditSeq: integer('audit_seq').notNull(),
  /** Rounds in a row in which every attempt failed; while it fails, one message is tried at a time. */
  failures: integer().notNull(),
  failingSinceMs: integer('failing_since_ms'),
  /** When a message was given up for good, with none delivered since. */
  givenUpMs: integer('given_up_ms'),
  /** Nothing is sent before it: it fails, or asked for time. */
  holdUntilMs: integer('hold_until_ms').notNull(),
  /** Up to when its rate is used up. */
  pacedUntilMs: integer('paced_until_ms').notNull(),
  createdBy: text('created_by').notNull(),
  createdMs: integer('created_ms').notNull(),
  version: integer().notNull(),
})
export type WebhookRow = typeof webhook.$inferSelect

/** One message to an endpoint. `orderKeys` are what must arrive in order: it waits while an earlier one with one of them waits. */
export const delivery = sqliteTable(
  'delivery',
  {
    seq: integer().primaryKey(),
    id: text().notNull().unique(),
    webhookId: text('webhook_id').notNull(),
    state: text().$type<(typeof deliveryStates)[number]>().notNull(),
    orderKeys: text('order_keys', { mode: 'json' }).$type<number[]>().notNull(),
    types: text({ mode: 'json' }).$type<string[]>().notNull(),
    subject: text().notNull(),
    events: text({ mode: 'json' }).$type<FleetEvent[]>().notNull(),
    eventCount: integer('event_count').notNull(),
    createdMs: integer('created_ms').notNull(),
    dueMs: integer('due_ms').notNull(),
    /** Whoever sends it has until then; 0 before anybody has tried. */
    leasedUntilMs: integer('leased_until_ms').notNull(),
    attempts: integer().notNull(),
    endedMs: integer('ended_ms'),
    log: text({ mode: 'json' }).$type<DeliveryAttempt[]>().notNull(),
    replayOf: text('replay_of'),
  },
  (t) => [
    // the first two are partial in the migration: only those that wait
    index('delivery_waiting').on(t.webhookId, t.seq),
    index('delivery_subject').on(t.webhookId, t.subject),
    index('delivery_log').on(t.webhookId, t.createdMs, t.seq),
    index('delivery_ended').on(t.endedMs),
    index('delivery_replay').on(t.replayOf),
  ],
)
export type DeliveryRow = typeof delivery.$inferSelect
