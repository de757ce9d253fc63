import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { AlarmChange } from '../../protocol/events.ts'
import type { Severity } from '../../protocol/states.ts'

/** A fault condition that stands until it clears; a cleared one keeps its row for a while, so that late copies of its report change nothing. */
export const alarm = sqliteTable(
  'alarm',
  {
    siteId: text('site_id').notNull(),
    alarmId: text('alarm_id').notNull(),
    entity: text().notNull(),
    severity: text().$type<Severity>().notNull(),
    text: text().notNull(),
    gating: integer({ mode: 'boolean' }).notNull(),
    raisedMs: integer('raised_ms').notNull(),
    clearedMs: integer('cleared_ms'),
    /** The report it came from, within the site's incarnation; 0 for one that no site raised. */
    seq: integer().notNull(),
    source: text().$type<'site' | 'controller' | 'tool'>().notNull().default('tool'),
    incarnation: integer().notNull().default(0),
    /** When, by whom and with which words its state changed last: the history is made of them. */
    changedMs: integer('changed_ms').notNull().default(0),
    changedBy: text('changed_by').notNull().default(''),
    note: text().notNull().default(''),
    /** When it began by the site's clock, where that can be right. */
    siteMs: integer('site_ms'),
    acknowledgedMs: integer('acknowledged_ms'),
    acknowledgedBy: text('acknowledged_by'),
    acknowledgedNote: text('acknowledged_note'),
    shelvedUntilMs: integer('shelved_until_ms'),
    shelvedBy: text('shelved_by'),
    shelvedReason: text('shelved_reason'),
    silenced: integer({ mode: 'boolean' }).notNull().default(false),
    /** Since when it gates, where that is later than it was raised. */
    gatingMs: integer('gating_ms').notNull().default(0),
    /** Times it was raised since `flapsSinceMs`. */
    flaps: integer().notNull().default(0),
    flapsSinceMs: integer('flaps_since_ms').notNull().default(0),
    /** It has ended, and stands on only because it comes and goes too often to be written each time. */
    withheld: integer({ mode: 'boolean' }).notNull().default(false),
    /** The worst severity it had since it was raised, once it is not that bad any more; '' before. Kept by a trigger. */
    worst: text().$type<Severity | ''>().notNull().default(''),
  },
  (t) => [
    primaryKey({ columns: [t.siteId, t.alarmId, t.entity] }),
    // all partial in the migrations: only those that stand, gate, flap, lie on the shelf, are silent, or have cleared
    index('alarm_standing').on(t.raisedMs, t.siteId, t.alarmId, t.entity),
    index('alarm_standing_severity').on(t.severity, t.raisedMs, t.siteId, t.alarmId, t.entity),
    index('alarm_standing_id').on(t.alarmId, t.raisedMs, t.siteId, t.entity),
    index('alarm_standing_site').on(t.siteId, t.raisedMs, t.alarmId, t.entity),
    index('alarm_standing_gating').on(t.raisedMs, t.siteId, t.alarmId, t.entity),
    index('alarm_flapping').on(t.flapsSinceMs),
    index('alarm_shelved').on(t.shelvedUntilMs),
    index('alarm_silenced').on(t.siteId),
    index('alarm_cleared').on(t.clearedMs),
  ],
)
export type AlarmRow = typeof alarm.$inferSelect

/** What happened to alarms; written by triggers. */
export const alarmEvent = sqliteTable(
  'alarm_event',
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    atMs: integer('at_ms').notNull(),
    siteId: text('site_id').notNull(),
    alarmId: text('alarm_id').notNull(),
    entity: text().notNull(),
    change: text().$type<AlarmChange>().notNull(),
    severity: text().$type<Severity>().notNull(),
    /** The worst it had since it was raised. */
    worst: text().$type<Severity>().notNull(),
    text: text().notNull(),
    gating: integer({ mode: 'boolean' }).notNull(),
    silenced: integer({ mode: 'boolean' }).notNull(),
    actor: text().notNull(),
    note: text().notNull(),
  },
  (t) => [index('alarm_event_time').on(t.atMs), index('alarm_event_site').on(t.siteId, t.atMs)],
)
export type AlarmEventRow = typeof alarmEvent.$inferSelect

/** Numbers that would be costly to count; kept by triggers. Kind `site` by presence (or state, where not enrolled), kind `alarm` by severity/condition. */
export const tally = sqliteTable('tally', { kind: text().notNull(), key: text().notNull(), n: integer().notNull() }, (t) => [primaryKey({ columns: [t.kind, t.key] })])
