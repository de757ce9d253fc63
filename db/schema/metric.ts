import { index, integer, primaryKey, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { LiveSample, NodeMetrics } from '../../protocol/metrics.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'

/** A site's quarter of an hour, in the slot of its ring; `summary` is worked out once, when it comes in. */
export const metricBlock = sqliteTable(
  'metric_block',
  {
    siteId: text('site_id').notNull(),
    slot: integer().notNull(),
    startMs: integer('start_ms').notNull(),
    receivedMs: integer('received_ms').notNull(),
    incarnation: integer().notNull(),
    seq: integer().notNull(),
    summary: text().notNull(),
    body: text({ mode: 'json' }).$type<{ stepS: number; nodes: NodeMetrics[] }>().notNull(),
  },
  (t) => [primaryKey({ columns: [t.siteId, t.slot] })],
)

/** A site's day, in the slot of a longer ring. `day` counts days since 1970. */
export const metricDay = sqliteTable(
  'metric_day',
  { siteId: text('site_id').notNull(), slot: integer().notNull(), day: integer().notNull(), summary: text().notNull() },
  (t) => [primaryKey({ columns: [t.siteId, t.slot] })],
)

/** An object with the blocks of a day of the sites up to `lastSite`, from behind that of the row before it; `~` ends the day. `object` is empty where none of them said anything. */
export const metricPack = sqliteTable(
  'metric_pack',
  { day: integer().notNull(), lastSite: text('last_site').notNull(), object: text().notNull(), storedBytes: integer('stored_bytes').notNull(), createdMs: integer('created_ms').notNull() },
  (t) => [primaryKey({ columns: [t.day, t.lastSite] })],
)

/** How full a site is: its fullest filesystem, in permille, and in how many days its first one is full. */
export const capacity = sqliteTable(
  'capacity',
  {
    siteId: text('site_id').primaryKey(), used: integer().notNull(), node: text().notNull(), path: text().notNull(), sizeBytes: integer('size_bytes').notNull(),
    growthBytesPerDay: real('growth_bytes_per_day'), daysLeft: real('days_left'), measuredMs: integer('measured_ms').notNull(),
  },
  (t) => [index('capacity_used').on(t.used, t.siteId), index('capacity_days_left').on(t.daysLeft, t.siteId)],
)

/** A site that somebody looks at right now. */
export const liveView = sqliteTable('live_view', { siteId: text('site_id').primaryKey(), untilMs: integer('until_ms').notNull(), seq: integer().notNull(), samples: text({ mode: 'json' }).$type<LiveSample[]>().notNull() })

/** Settings for the sites whose labels fit. */
export const monitoringRule = sqliteTable('monitoring_rule', {
  name: text().primaryKey(), labelSelector: text('label_selector').notNull(), priority: integer().notNull(), settings: text({ mode: 'json' }).$type<MonitoringSettings>().notNull(), version: integer().notNull(),
})
