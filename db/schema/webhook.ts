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
  /** Attempts that failed in a row; while it fails, one message is tried at a time, not before `holdUntilMs`. */
  failures: integer().notNull(),
  failingSinceMs: integer('failing_since_ms'),
  holdUntilMs: integer('hold_until_ms').notNull(),
  createdBy: text('created_by').notNull(),
  createdMs: integer('created_ms').notNull(),
  version: integer().notNull(),
})
export type WebhookRow = typeof webhook.$inferSelect

/** One message to an endpoint. `orderKey` is what must arrive in order (one alarm, one rollout); a message of many events has `*`. */
export const delivery = sqliteTable(
  'delivery',
  {
    id: text().primaryKey(),
    webhookId: text('webhook_id').notNull(),
    state: text().$type<(typeof deliveryStates)[number]>().notNull(),
    orderKey: text('order_key').notNull(),
    types: text({ mode: 'json' }).$type<string[]>().notNull(),
    subject: text().notNull(),
    events: text({ mode: 'json' }).$type<FleetEvent[]>().notNull(),
    eventCount: integer('event_count').notNull(),
    createdMs: integer('created_ms').notNull(),
    dueMs: integer('due_ms').notNull(),
    leasedUntilMs: integer('leased_until_ms').notNull(),
    attempts: integer().notNull(),
    endedMs: integer('ended_ms'),
    log: text({ mode: 'json' }).$type<DeliveryAttempt[]>().notNull(),
    replayOf: text('replay_of'),
  },
  (t) => [
    // the first two are partial in the migration: only those that wait
    index('delivery_due').on(t.webhookId, t.dueMs, t.id),
    index('delivery_order').on(t.webhookId, t.orderKey, t.id),
    index('delivery_log').on(t.webhookId, t.id),
    index('delivery_ended').on(t.endedMs),
  ],
)
export type DeliveryRow = typeof delivery.$inferSelect
