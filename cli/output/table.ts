import { plain } from './words.ts'

export type Column<T> = {
  title: string
  value(item: T): string
  /** Only with `-o wide`. */
  wide?: true
  align?: 'right'
}

/** Items as lines of aligned columns under their titles. Each cell stays on its line. */
export function formatTable<T>(columns: readonly Column<T>[], items: readonly T[], wide: boolean): string {
  const shown = columns.filter((column) => wide || column.wide !== true)
  const rows = [shown.map((column) => column.title), ...items.map((item) => shown.map((column) => plain(column.value(item)).replaceAll(/\s+/g, ' ').trim() || '-'))]
  const widths = shown.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows.map((row) => `${row.map((cell, i) => (shown[i]!.align === 'right' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ').trimEnd()}\n`).join('')
}
