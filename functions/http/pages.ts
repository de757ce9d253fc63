import * as z from 'zod'
import { fromBase64, fromUtf8, toBase64, utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'

/** The sort key of the last item of a page, as opaque text for a URL. */
const encodeCursor = (key: readonly (string | number)[]): string =>
  toBase64(utf8(JSON.stringify(key))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')

/** The sort key in a cursor; null when there is none. Throws `bad-request` for a cursor that is not one of this list. */
export function decodeCursor<S extends z.ZodType>(schema: S, cursor: string | undefined): z.output<S> | null {
  if (cursor === undefined) return null
  try {
    return schema.parse(JSON.parse(fromUtf8(fromBase64(cursor.replaceAll('-', '+').replaceAll('_', '/').padEnd(Math.ceil(cursor.length / 4) * 4, '=')))))
  } catch (cause) {
    throw new FleetError('bad-request', 'the cursor is not one that this list gave', { errors: [{ path: 'query.cursor', message: 'is not a cursor of this list' }], cause })
  }
}

/** A page of `limit` items out of rows that were asked for with `limit + 1`: the one too many says that there is a next page. */
export function pageOf<Row, View>(rows: readonly Row[], limit: number, view: (row: Row) => View, keyOf: (row: Row) => readonly (string | number)[]): { items: View[]; next: string | null } {
  const items = rows.slice(0, limit)
  return { items: items.map(view), next: rows.length > limit ? encodeCursor(keyOf(items.at(-1)!)) : null }
}

/**
 * A page of at most `limit` items out of rows that were scanned in order, up to `scanMax` of them, and of which only some are wanted: it may be short, or empty,
 * while there is more. The next one goes on behind the last row that was looked at.
 */
export function pageOfScan<Row, View>(
  rows: readonly Row[],
  { limit, scanMax, isWanted, view, keyOf }: { limit: number; scanMax: number; isWanted: (row: Row) => boolean; view: (row: Row) => View; keyOf: (row: Row) => readonly (string | number)[] },
): { items: View[]; next: string | null } {
  const items: View[] = []
  let looked = 0
  for (const row of rows) {
    if (items.length === limit) break
    looked++
    if (isWanted(row)) items.push(view(row))
  }
  return { items, next: looked > 0 && (looked < rows.length || rows.length === scanMax) ? encodeCursor(keyOf(rows[looked - 1]!)) : null }
}
