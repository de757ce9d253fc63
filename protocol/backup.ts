import * as z from 'zod'
import { Digest, FleetId, TimeMs } from './ids.ts'

/** A backup is named after the moment it shows: 2026-05-01T10:00:00.000Z is `20260501t100000000z`. Names sort by time. */
export const BackupName = z.string().regex(/^\d{8}t\d{9}z$/, 'must be the name of a backup, as `murmur backup list` shows it')
export type BackupName = z.infer<typeof BackupName>
export const backupName = (takenMs: number): BackupName => new Date(takenMs).toISOString().toLowerCase().replaceAll(/[-:.]/g, '')

/** Where the parts of a backup lie in the object store. */
export const backupKeys = {
  catalogue: () => 'backups/index.json',
  index: (name: BackupName) => `backups/${name}/index.json`,
  piece: (name: BackupName, number: number) => `backups/${name}/${String(number).padStart(6, '0')}.zst`,
} as const

const SqlName = z.string().max(64).regex(/^[a-z][a-z0-9_]*$/)

/** Some rows of one table: zstd of one JSON array of values a line, in the order of the table's columns. */
const BackupPiece = z.strictObject({ number: z.int().positive(), rows: z.int().nonnegative(), sha256: Digest, storedBytes: z.int().positive() })
export type BackupPiece = z.infer<typeof BackupPiece>

const BackupTable = z.strictObject({ name: SqlName, columns: z.array(SqlName).min(1), rows: z.int().nonnegative(), pieces: z.array(BackupPiece) })
export type BackupTable = z.infer<typeof BackupTable>

/** What a backup holds. Written last: a backup without its index does not exist. */
export const BackupIndex = z.strictObject({
  v: z.literal(1),
  fleet: FleetId,
  takenMs: TimeMs,
  controllerVersion: z.string().max(64),
  /** The highest epoch that this database gave positions in. */
  epoch: z.int().nonnegative(),
  /** The schema: migrations by name, each with the digest of its text. */
  migrations: z.array(z.strictObject({ name: z.string().max(200), digest: Digest })).min(1),
  tables: z.array(BackupTable),
})
export type BackupIndex = z.infer<typeof BackupIndex>

/** One line of the list of backups. `digest` is that of the backup's index: who keeps it elsewhere knows a forged backup. */
const BackupEntry = z.strictObject({ name: BackupName, takenMs: TimeMs, rows: z.int().nonnegative(), pieces: z.int().nonnegative(), storedBytes: z.int().nonnegative(), digest: Digest })
export type BackupEntry = z.infer<typeof BackupEntry>

/** All backups, the oldest first, and those that were begun: what is left of one that never ended is removed by the next. */
export const BackupCatalogue = z.strictObject({ v: z.literal(1), backups: z.array(BackupEntry), begun: z.array(BackupName) })
export type BackupCatalogue = z.infer<typeof BackupCatalogue>

/** The newest epoch that any database of this fleet was raised to: kept beside the database, so that a backup cannot forget it. */
export const StoredEpoch = z.strictObject({ v: z.literal(1), epoch: z.int().nonnegative() })
