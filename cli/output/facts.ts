import { plain } from './words.ts'

/** Titles and what stands under them, a line each, in two columns. */
export function factsText(rows: readonly (readonly [title: string, value: string])[]): string {
  const width = Math.max(12, ...rows.map(([title]) => title.length))
  return rows.map(([title, value]) => `${plain(title).padEnd(width)} ${plain(value).replaceAll(/\s+/g, ' ').trim()}`.trimEnd()).map((line) => `${line}\n`).join('')
}
