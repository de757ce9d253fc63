import { paint, type Tint } from './paint.ts'
import { plain } from './words.ts'

export type Column<T> = {
  title: string
  value(item: T): string
  /** Only with `-o wide`. */
  wide?: true
  align?: 'right'
  /** Its colour on a terminal. */
  tint?(item: T): Tint | null
}

/** Items as lines of aligned columns under their titles. Each cell stays on its line. */
export function formatTable<T>(columns: readonly Column<T>[], items: readonly T[], { wide, colours }: { wide: boolean; colours: boolean }): string {
  const shown = columns.filter((column) => wide || column.wide !== true)
  const rows = [shown.map((column) => column.title), ...items.map((item) => shown.map((column) => plain(column.value(item)).replaceAll(/\s+/g, ' ').trim() || '-'))]
  const widths = shown.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const cellText = (cell: string, row: number, i: number): string => {
    const { align, tint } = shown[i]!
    const padding = ' '.repeat(widths[i]! - cell.length)
    const text = colours && row > 0 ? paint(cell, tint?.(items[row - 1]!) ?? null) : cell
    return align === 'right' ? `${padding}${text}` : `${text}${padding}`
  }
  return rows.map((row, n) => `${row.map((cell, i) => cellText(cell, n, i)).join('  ').trimEnd()}\n`).join('')
}
