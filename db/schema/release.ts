import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Envelope } from '../../protocol/envelope.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { ReleaseState } from '../../protocol/states.ts'

/** A published release. The manifest is small (it names trees, not files); content lives in the object store. */
export const release = sqliteTable(
  'release',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    digest: text().notNull().unique(),
    state: text().$type<ReleaseState>().notNull(),
    detail: text().notNull(),
    envelope: text({ mode: 'json' }).$type<Envelope>().notNull(),
    manifest: text({ mode: 'json' }).$type<Manifest>().notNull(),
    publisherKey: text('publisher_key').notNull(),
    indexDigest: text('index_digest').notNull(),
    indexBytes: integer('index_bytes').notNull(),
    contentBytes: integer('content_bytes').notNull(),
    storedBytes: integer('stored_bytes').notNull(),
    objects: integer().notNull(),
    /** How far the confirming job has come in the sorted list of objects. */
    objectsConfirmed: integer('objects_confirmed').notNull(),
    createdMs: integer('created_ms').notNull(),
    availableMs: integer('available_ms'),
    version: integer().notNull(),
  },
  (t) => [
    // newest first, within a product
    index('release_name').on(t.name, t.createdMs),
    // the confirming job looks only at these
    index('release_state').on(t.state),
  ],
)
export type ReleaseRow = typeof release.$inferSelect

/** Agents may ask for these objects; so may the store's garbage collection. */
export const releaseObject = sqliteTable(
  'release_object',
  { object: text().notNull(), releaseId: text('release_id').notNull(), storedBytes: integer('stored_bytes').notNull() },
  (t) => [primaryKey({ columns: [t.object, t.releaseId] })],
)
