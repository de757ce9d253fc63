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
    /** When its objects were given up; null while they are kept. */
    collectedMs: integer('collected_ms'),
    /** When its publisher last did anything for it. */
    touchedMs: integer('touched_ms'),
  },
  (t) => [
    // newest first, within a product
    index('release_name').on(t.name, t.createdMs),
    // the confirming job looks only at these
    index('release_state').on(t.state),
  ],
)
export type ReleaseRow = typeof release.$inferSelect

/** Which objects a release is made of, from the moment its publisher asks for them. Agents may fetch these, and only what is in no row may go. */
export const releaseObject = sqliteTable(
  'release_object',
  { object: text().notNull(), releaseId: text('release_id').notNull(), storedBytes: integer('stored_bytes').notNull() },
  (t) => [primaryKey({ columns: [t.object, t.releaseId] }), index('release_object_release').on(t.releaseId)],
)

/** Objects of no release any more that the store still has. `takenMs`: somebody is removing it, so nobody may count on it or put it again. */
export const objectRemoval = sqliteTable('object_removal', { object: text().primaryKey(), storedBytes: integer('stored_bytes').notNull(), takenMs: integer('taken_ms') })
