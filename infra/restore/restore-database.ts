import type { Database, Statement } from '../../db/client.ts'
import { appliedMigrations } from '../../db/known-migrations.ts'
import { migrate, migrationText, readMigrations, runWhole, type Migration } from '../../db/migrate.ts'
import { issueHellos } from '../../functions/directive/issue.ts'
import { beginAnew } from '../../functions/restore/begin-anew.ts'
import { backupName, StoredEpoch, type BackupIndex, type BackupName, type BackupTable } from '../../protocol/backup.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { sql } from 'drizzle-orm'
import { writeJson, type BackupStore } from '../backup/catalogue.ts'
import { ownTablesSql } from '../backup/own-tables.ts'
import type { Row } from '../backup/piece.ts'
import { Refusal } from '../backup/refusal.ts'
import { readPiece } from '../backup/verify-backup.ts'
import { findMissing } from './find-missing.ts'

/** Everything that is being loaded lies under this until it is there as a whole. */
const incoming = (table: string): string => `incoming_${table}`
const facts = incoming('facts')
const missing = incoming('missing')

/** What the database itself writes when other tables are filled: here it is what the backup says. */
const ownHistory: ReadonlySet<string> = new Set(['alarm_event'])

/** `requestId`: 26 sortable characters, as `Ids` makes them. */
export type RestoreParts = { db: Database; store: BackupStore; name: BackupName; index: BackupIndex; nowMs: number; requestId: string; withoutTokens: boolean }
export type Restored = { epoch: number; rows: number; releasesLacking: string[] }

/**
 * Makes an empty database what the backup says, ready to ask its sites for their hello (SPEC §8). The rows are laid beside the tables first, and
 * come in with everything that must change about them in one transaction: killed at any moment, the tables are empty still, or all is done.
 * Throws a Refusal where the database is not empty or newer than this program, having changed nothing.
 */
export async function restoreDatabase(parts: RestoreParts): Promise<Restored> {
  const { db, store, index, nowMs } = parts
  const ours = readMigrations()
  const [then, newer] = divideMigrations(ours, index)
  await requireEmpty(db, newer)
  await clearIncoming(db)
  await migrate(db, nowMs, then)
  const tables = index.tables.filter(({ name }) => !(parts.withoutTokens && name === 'token'))
  for (const table of tables) await layBeside(parts, table)
  const lacking = await noteMissing(parts)
  const epoch = await raiseEpoch(store, index.epoch)
  await db.script(`CREATE TABLE ${facts} (epoch INTEGER, now_ms INTEGER, backup TEXT, taken_ms INTEGER, request_id TEXT)`)
  await db.write([{ sql: `INSERT INTO ${facts} VALUES (?, ?, ?, ?, ?)`, args: [epoch, nowMs, backupName(index.takenMs), index.takenMs, parts.requestId] }])
  const hellos = issueHellos({ config: { fleet: index.fleet, publicUrl: '', version: '', host: 'node' }, nowMs, requestId: parts.requestId }, parts.requestId, nowMs + limits.restoreHelloLifeMs)
  await runWhole(db, [
    ...tables.map(({ name, columns }) => `${ownHistory.has(name) ? `DELETE FROM ${name}; ` : ''}INSERT INTO ${name} (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM ${incoming(name)};`),
    ...newer.map(migrationText),
    `${rejectLacking};`,
    `${beginAnew(facts)};`,
    ...hellos.map((statement) => `${textOf(statement)};`),
    ...[...tables.map(({ name }) => incoming(name)), facts, missing].map((table) => `DROP TABLE ${table};`),
  ].join('\n'))
  return { epoch, rows: tables.reduce((sum, { rows }) => sum + rows, 0), releasesLacking: lacking }
}

/** A statement with its arguments in it. */
function textOf({ sql: text, args }: Statement): string {
  const values = args.values()
  return text.replaceAll('?', () => {
    const { value } = values.next()
    return typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`
  })
}

/** Our migrations that the backup has, and those that it lacks. */
function divideMigrations(ours: readonly Migration[], index: BackupIndex): [Migration[], Migration[]] {
  const strange = index.migrations.find(({ name, digest }) => !ours.some((own) => own.name === name && own.digest === digest))
  if (strange !== undefined) throw new Refusal('conflict', `the backup was taken by a controller of version ${index.controllerVersion}, whose schema has ${strange.name}; this program does not know it: restore with that version or a newer one`)
  const theirs = new Set(index.migrations.map(({ name }) => name))
  return [ours.filter(({ name }) => theirs.has(name)), ours.filter(({ name }) => !theirs.has(name))]
}

async function tableNames(db: Database): Promise<string[]> {
  const rows = await db.orm.all<{ name: string }>(sql.raw(ownTablesSql))
  return rows.map(({ name }) => name)
}

/**
 * A restore that was killed has left tables without a row, and what lay beside them: that counts as empty. A schema newer than the
 * backup's does not: migrations may have work to do on rows.
 */
async function requireEmpty(db: Database, newer: readonly Migration[]): Promise<void> {
  const goOn = 'Stop the controller; then move the file away, or make another database and name it in MURMUR_DATABASE_URL; then restore again'
  for (const name of await tableNames(db)) {
    if (name === 'migration' || name.startsWith(incoming(''))) continue
    const [row] = await db.orm.all<{ n: number }>(sql.raw(`SELECT EXISTS (SELECT 1 FROM "${name}") AS n`))
    if (row!.n === 1) throw new Refusal('conflict', `the database is not empty (it has rows in ${name}), and a restore never writes over one. ${goOn}`)
  }
  const applied = await appliedMigrations(db)
  const ahead = newer.find(({ name }) => applied.has(name))
  if (ahead !== undefined) throw new Refusal('conflict', `the database was migrated already, beyond the backup (${ahead.name}); a restore does that itself, once the rows are there. ${goOn}`)
}

async function clearIncoming(db: Database): Promise<void> {
  for (const name of await tableNames(db)) if (name.startsWith(incoming(''))) await db.script(`DROP TABLE "${name}"`)
}

/** One batch for each piece: a few megabytes at a time, however large the database. */
async function layBeside({ db, store, name }: RestoreParts, table: BackupTable): Promise<void> {
  const beside = incoming(table.name)
  await db.script(`CREATE TABLE ${beside} AS SELECT ${table.columns.join(', ')} FROM ${table.name} WHERE false`)
  const values = table.columns.map((_, i) => `value->>${i}`).join(', ')
  for (const piece of table.pieces) {
    const read = await readPiece(store, name, table, piece)
    if ('fault' in read) throw new Refusal('not-verified', read.fault)
    for (const lot of lotsOf(read.rows)) await db.write([{ sql: `INSERT INTO ${beside} SELECT ${values} FROM json_each(?)`, args: [JSON.stringify(lot)] }])
  }
}

/** What one statement takes: servers bound the length of a request. */
const lotTextMax = 512 * 1024

function* lotsOf(rows: readonly Row[]): Generator<Row[]> {
  let [lot, textLength]: [Row[], number] = [[], 0]
  for (const row of rows) {
    lot.push(row)
    textLength += JSON.stringify(row).length
    if (textLength < lotTextMax) continue
    yield lot
    ;[lot, textLength] = [[], 0]
  }
  if (lot.length > 0) yield lot
}

/** Objects may have been collected since, together with the release's row: what the store lacks cannot be called available. */
async function noteMissing({ db, store, index }: RestoreParts): Promise<string[]> {
  await db.script(`CREATE TABLE ${missing} (object TEXT)`)
  if (!index.tables.some(({ name }) => name === 'release_object')) return []
  const lacking = await findMissing(store, async (after, limit) => {
    const rows = await db.orm.all<{ object: string }>(sql.raw(`SELECT DISTINCT object FROM ${incoming('release_object')} WHERE object > '${after}' ORDER BY object LIMIT ${limit}`))
    return rows.map(({ object }) => object)
  })
  await db.write([{ sql: `INSERT INTO ${missing} SELECT value FROM json_each(?)`, args: [JSON.stringify(lacking)] }])
  const releases = await db.orm.all<{ id: string }>(sql.raw(`SELECT DISTINCT release_id AS id FROM ${incoming('release_object')} WHERE object IN (SELECT object FROM ${missing}) ORDER BY 1`))
  return releases.map(({ id }) => id)
}

const lackingReleases = `state = 'available' AND id IN (SELECT release_id FROM release_object WHERE object IN (SELECT object FROM ${missing}))`
const rejectLacking = [
  `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT (SELECT now_ms FROM ${facts}), 'controller', 'release.rejected', 'release/' || id, NULL, 'the store lacks objects of it since the backup was taken', '{}', (SELECT request_id FROM ${facts}) FROM release WHERE ${lackingReleases}`,
  `UPDATE release SET state = 'rejected', detail = 'the store lacks objects of it since the backup was taken; publish it again', objects_confirmed = 0, version = version + 1 WHERE ${lackingReleases}`,
  `DELETE FROM release_object WHERE release_id IN (SELECT id FROM release WHERE state = 'rejected')`,
].join(';\n')

/** Above every epoch that was ever given out: what the backup knows, and what the store kept. Written before anything can use it. */
async function raiseEpoch(store: BackupStore, backupEpoch: number): Promise<number> {
  const bytes = await store.get(storeKeys.epoch(), 4096)
  const stored = bytes === null ? 0 : StoredEpoch.parse(JSON.parse(fromUtf8(bytes))).epoch
  const epoch = Math.max(stored, backupEpoch) + 1
  await writeJson(store, storeKeys.epoch(), { v: 1, epoch })
  return epoch
}
