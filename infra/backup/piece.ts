import { createHash } from 'node:crypto'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { limits } from '../../protocol/limits.ts'

/** A value of a row, as SQLite gives it and JSON can carry it. */
export type Cell = string | number | null
export type Row = Cell[]

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Rows as a piece of a backup: one JSON array a line, in zstd. */
export const packRows = (lines: readonly string[]): Uint8Array => zstdCompressSync(lines.map((line) => `${line}\n`).join(''))

/** The rows of a piece whose digest was found right. */
export function unpackRows(bytes: Uint8Array): Row[] {
  const text = zstdDecompressSync(bytes, { maxOutputLength: limits.backupPieceBytesMax }).toString('utf8')
  return text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Row)
}
