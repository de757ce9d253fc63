import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Directive } from '../../protocol/directives.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import type { AttemptReport } from '../../protocol/reports.ts'
import type { RestoreVerdict, Role } from '../../protocol/states.ts'

/**
 * The current directives of a site, and at the same time the outbox: written in the batch that decided them, unsigned
 * (the fleet key is not here), and `pending` until a broker has acknowledged them. `slot` is `desired`, `grant` or
 * `command/{id}`: a newer one takes the place of an older one.
 */
export const directive = sqliteTable(
  'directive',
  {
    siteId: text('site_id').notNull(),
    slot: text().notNull(),
    epoch: integer().notNull(),
    generation: integer().notNull(),
    body: text({ mode: 'json' }).$type<Directive>().notNull(),
    pending: integer({ mode: 'boolean' }).notNull(),
    attempts: integer().notNull(),
    /** Not before this: back-off of a broker that does not answer. */
    dueMs: integer('due_ms').notNull(),
    expiresMs: integer('expires_ms'),
    sentMs: integer('sent_ms'),
  },
  (t) => [
    primaryKey({ columns: [t.siteId, t.slot] }),
    // partial in the migration: only pending rows, in the order they go out, so that asking costs nothing when there is nothing
    index('directive_pending').on(t.dueMs, t.siteId, t.generation),
  ],
)

/** Who did what to what, and why. Sealed into a chain by a job, not inside every write. */
export const audit = sqliteTable(
  'audit',
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    atMs: integer('at_ms').notNull(),
    actor: text().notNull(),
    action: text().notNull(),
    entity: text().notNull(),
    siteId: text('site_id'),
    why: text().notNull(),
    detail: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
    requestId: text('request_id').notNull(),
    /** SHA-256 over the chain up to and including this entry; null until sealed. */
    seal: text(),
  },
  (t) => [index('audit_entity').on(t.entity, t.seq), index('audit_site').on(t.siteId, t.seq)],
)
export type AuditRow = typeof audit.$inferSelect

/** Bearer tokens, by the SHA-256 of the secret: at least 128 bits of chance need no slow hash. */
export const token = sqliteTable('token', {
  id: text().primaryKey(),
  name: text().notNull(),
  role: text().$type<Role>().notNull(),
  hash: text().notNull().unique(),
  createdBy: text('created_by').notNull(),
  createdMs: integer('created_ms').notNull(),
  expiresMs: integer('expires_ms'),
  revokedMs: integer('revoked_ms'),
})
export type TokenRow = typeof token.$inferSelect

/** Answers to requests that carried an Idempotency-Key, kept for a day. */
export const idempotency = sqliteTable(
  'idempotency',
  {
    actor: text().notNull(),
    key: text().notNull(),
    fingerprint: text().notNull(),
    status: integer(),
    body: text(),
    expiresMs: integer('expires_ms').notNull(),
  },
  (t) => [primaryKey({ columns: [t.actor, t.key] }), index('idempotency_expiry').on(t.expiresMs)],
)

/** Facts of which there is one: the trust document, the epoch, the head of the audit chain. */
export const setting = sqliteTable('setting', { key: text().primaryKey(), value: text({ mode: 'json' }).$type<unknown>().notNull() })

/**
 * One row a site of a database that came back from a backup: what the backup said of it, and what it said itself since (SPEC §8).
 * `heardMs` is null until a hello of the site as we know it; of a stranger only what it said is kept.
 */
export const restoredSite = sqliteTable('restored_site', {
  siteId: text('site_id').primaryKey(),
  verdict: text().$type<RestoreVerdict>().notNull(),
  restoredMs: integer('restored_ms').notNull(),
  running: text({ mode: 'json' }).$type<ReleaseRef>(),
  attempt: text({ mode: 'json' }).$type<AttemptReport>(),
  heardMs: integer('heard_ms'),
  heardSeq: integer('heard_seq'),
  heardRunning: text('heard_running', { mode: 'json' }).$type<ReleaseRef>(),
  heardAttempt: text('heard_attempt', { mode: 'json' }).$type<AttemptReport>(),
  heardTrust: integer('heard_trust'),
})
