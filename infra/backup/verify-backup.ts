import { backupKeys, type BackupIndex, type BackupName, type BackupPiece, type BackupTable } from '../../protocol/backup.ts'
import { limits } from '../../protocol/limits.ts'
import type { BackupStore } from './catalogue.ts'
import { sha256Of, unpackRows, type Row } from './piece.ts'

/** The rows of one piece, or what is wrong with it. */
export async function readPiece(store: BackupStore, name: BackupName, table: BackupTable, piece: BackupPiece): Promise<{ rows: Row[] } | { fault: string }> {
  const key = backupKeys.piece(name, piece.number)
  const bytes = await store.get(key, limits.backupPieceBytesMax)
  if (bytes === null) return { fault: `${key} is missing` }
  if (sha256Of(bytes) !== piece.sha256) return { fault: `${key} is not what was written: its SHA-256 is another` }
  const rows = unpackRows(bytes)
  if (rows.length !== piece.rows || rows.some((row) => row.length !== table.columns.length)) return { fault: `${key} does not have the rows that the index names` }
  return { rows }
}

/** Reads a whole backup, a piece at a time, and lists everything that is wrong with it. */
export async function verifyBackup(store: BackupStore, name: BackupName, index: BackupIndex): Promise<string[]> {
  const faults: string[] = []
  for (const table of index.tables) {
    let rows = 0
    for (const piece of table.pieces) {
      const read = await readPiece(store, name, table, piece)
      if ('fault' in read) faults.push(read.fault)
      rows += piece.rows
    }
    if (rows !== table.rows) faults.push(`the index names ${table.rows} rows of ${table.name}, and pieces with ${rows}`)
  }
  return faults
}
