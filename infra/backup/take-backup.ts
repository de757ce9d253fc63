import type { Snapshot } from '../../db/open-snapshot.ts'
import { trustKey } from '../../functions/auth/trust.ts'
import { backupKeys, backupName, type BackupEntry, type BackupIndex, type BackupPiece, type BackupTable } from '../../protocol/backup.ts'
import { fromBase64, fromUtf8 } from '../../protocol/bytes.ts'
import type { Digest, FleetId } from '../../protocol/ids.ts'
import { Trust } from '../../protocol/trust.ts'
import { readCatalogue, removeBackups, removeUnfinished, writeJson, type BackupStore } from './catalogue.ts'
import { ownTablesSql } from './own-tables.ts'
import { packRows, sha256Of, type Row } from './piece.ts'
import { Refusal } from './refusal.ts'

/**
 * Not taken along: what the database computes by itself (counters), what means nothing later (answers kept for repeats; directives, whose
 * positions the next epoch voids; guards), what an earlier restore was told, and the last two days' metrics, which are most of the rows' bytes and grow again.
 */
const leftOut = ['counter', 'directive', 'guard', 'idempotency', 'live_view', 'metric_block', 'migration', 'restored_site', 'tally']

const rowsPerPage = 500
/** A piece is closed once it is this long, before it is compressed: with one page this bounds the memory of a backup. */
const pieceTextMax = 4 * 1024 * 1024

export type BackupParts = { snapshot: Snapshot; store: BackupStore; fleet: FleetId; version: string; nowMs: number; /** How many backups are kept, this one among them; null keeps all. */ keep: number | null }

/**
 * Writes one consistent backup to the object store, its index last: killed at any moment it leaves a whole backup or none, and what
 * is left of none is removed by the next. Then removes the oldest beyond `keep`. One that is overtaken by another, which cannot tell it
 * from a killed one, refuses to be taken for a backup.
 */
export async function takeBackup(parts: BackupParts): Promise<{ entry: BackupEntry; removed: number }> {
  const { snapshot, store, nowMs } = parts
  const name = backupName(nowMs)
  const tables = await readTables(snapshot)
  await requireFleet(snapshot, parts.fleet)
  const migrations = await readMigrationNotes(snapshot)
  const before = await readCatalogue(store)
  if (before.backups.some((backup) => backup.name === name) || before.begun.includes(name)) throw new Refusal('conflict', `another backup of this very moment is under way; nothing was written`)
  await writeJson(store, backupKeys.catalogue(), { ...before, begun: [...before.begun, name] })
  for (const left of before.begun) await snapshot.during(removeUnfinished(store, left))

  const index: BackupIndex = { v: 1, fleet: parts.fleet, takenMs: nowMs, controllerVersion: parts.version, epoch: await readEpoch(snapshot), migrations, tables: [] }
  let number = 0
  for (const table of tables) index.tables.push(await writeTable(parts, name, table, () => ++number))
  const { digest } = await writeJson(store, backupKeys.index(name), index)
  const pieces = index.tables.flatMap((table) => table.pieces)
  const sum = (counts: readonly number[]) => counts.reduce((total, n) => total + n, 0)
  const entry: BackupEntry = { name, takenMs: nowMs, rows: sum(index.tables.map(({ rows }) => rows)), pieces: pieces.length, storedBytes: sum(pieces.map(({ storedBytes }) => storedBytes)), digest: digest as Digest }

  const { backups, begun } = await readCatalogue(store)
  if (begun.at(-1) !== name) {
    await removeBackups(store, [entry])
    throw new Refusal('conflict', 'another backup was begun while this one was made, and has removed pieces of it as of one that was killed; this one is none, the other goes on')
  }
  const all = [...backups, entry].sort((a, b) => (a.name < b.name ? -1 : 1))
  const spare = parts.keep === null ? [] : all.slice(0, -parts.keep)
  await writeJson(store, backupKeys.catalogue(), { v: 1, backups: all.filter((backup) => !spare.includes(backup)), begun: [] })
  await removeBackups(store, spare)
  return { entry, removed: spare.length }
}

/** A database does not say whose it is, but the trust.json in it does. */
async function requireFleet(snapshot: Snapshot, fleet: FleetId): Promise<void> {
  const [row] = await snapshot.rows(`SELECT value->>'$.envelope.payload' FROM setting WHERE key = ?`, [trustKey])
  if (row === undefined) return
  const trust = Trust.parse(JSON.parse(fromUtf8(fromBase64(String(row[0])))))
  if (trust.fleet !== fleet) throw new Refusal('usage', `this is the database of the fleet ${trust.fleet}, and MURMUR_FLEET says ${fleet}`)
}

type TableShape = { name: string; columns: string[]; key: string[] }

async function readTables(snapshot: Snapshot): Promise<TableShape[]> {
  const names = (await snapshot.rows(ownTablesSql)).map(([name]) => String(name))
  if (!names.includes('migration') || !names.includes('site')) throw new Refusal('failure', 'this is no database of a controller: there is nothing to back up (MURMUR_DATABASE_URL, or MURMUR_DATA, says which one is read)')
  const tables: TableShape[] = []
  for (const name of names.filter((each) => !leftOut.includes(each))) {
    const columns = await snapshot.rows('SELECT name, pk FROM pragma_table_info(?) ORDER BY cid', [name])
    const key = columns.filter(([, pk]) => Number(pk) > 0).sort((a, b) => Number(a[1]) - Number(b[1])).map(([column]) => String(column))
    if (key.length === 0) throw new Error(`the table ${name} has no primary key to read it along`)
    tables.push({ name, columns: columns.map(([column]) => String(column)), key })
  }
  return tables
}

const readMigrationNotes = async (snapshot: Snapshot): Promise<BackupIndex['migrations']> =>
  (await snapshot.rows('SELECT name, digest FROM migration ORDER BY name')).map(([name, digest]) => ({ name: String(name), digest: String(digest) as Digest }))

const readEpoch = async (snapshot: Snapshot): Promise<number> => Number((await snapshot.rows('SELECT coalesce(max(epoch), 0) FROM site'))[0]![0])

/** All rows of a table in the order of its key, a page at a time. */
async function writeTable({ snapshot, store }: BackupParts, name: string, table: TableShape, nextNumber: () => number): Promise<BackupTable> {
  const pieces: BackupPiece[] = []
  let [lines, textLength, rows]: [string[], number, number] = [[], 0, 0]
  const close = async (): Promise<void> => {
    const bytes = packRows(lines)
    const piece: BackupPiece = { number: nextNumber(), rows: lines.length, sha256: sha256Of(bytes) as Digest, storedBytes: bytes.length }
    await snapshot.during(store.put(backupKeys.piece(name, piece.number), bytes, piece.sha256))
    pieces.push(piece)
    ;[lines, textLength] = [[], 0]
  }
  const keyAt = table.key.map((column) => table.columns.indexOf(column))
  for (let last: Row | null = null; ; ) {
    const page = (await snapshot.rows(pageSql(table, last !== null), [...(last ?? []), rowsPerPage])) as Row[]
    for (const row of page) {
      const line = JSON.stringify(row, refuseBytes)
      lines.push(line)
      textLength += line.length
      if (textLength >= pieceTextMax) await close()
    }
    rows += page.length
    if (page.length < rowsPerPage) break
    last = keyAt.map((at) => page.at(-1)![at]!)
  }
  if (lines.length > 0) await close()
  return { name: table.name, columns: table.columns, rows, pieces }
}

const pageSql = ({ name, columns, key }: TableShape, goesOn: boolean): string =>
  `SELECT ${columns.join(', ')} FROM "${name}" ${goesOn ? `WHERE (${key.join(', ')}) > (${key.map(() => '?').join(', ')})` : ''} ORDER BY ${key.join(', ')} LIMIT ?`

/** The schema has texts and whole numbers only; anything else would not come back as it was. */
function refuseBytes(_: string, value: unknown): unknown {
  if (value === null || typeof value === 'string' || Number.isSafeInteger(value) || Array.isArray(value)) return value
  throw new Error(`a backup cannot carry a value of the type ${typeof value}`)
}
