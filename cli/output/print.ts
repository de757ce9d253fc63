import { Document, visit } from 'yaml'
import type { Io } from '../io.ts'
import { wantsColours } from './paint.ts'
import { formatTable, type Column } from './table.ts'
import { plain } from './words.ts'

export const outputFormats = ['table', 'wide', 'json', 'yaml', 'name'] as const
export type OutputFormat = (typeof outputFormats)[number]

/** How one sort of thing is shown. `text` is the long form for one alone; without it one is shown as a table of one. */
export type Shape<T> = {
  nameOf(item: T): string
  columns: readonly Column<T>[]
  text?(item: T): string
  /** Said instead of an empty table. */
  none: string
}

type Output = { io: Pick<Io, 'out' | 'err' | 'terminal' | 'env'>; format: OutputFormat }

/** What a terminal obeys, or shows as nothing. In JSON and YAML it becomes an escape, so that programs read what it was and people see that it is there (F71). */
const unseen = /[^\P{C}\n\t]/gu
const escaped = (code: number, digits: number): string => code.toString(16).padStart(digits, '0')

/** A value as JSON, over several lines unless `indent` is 0. */
export const writeJson = (value: unknown, indent = 2): string => `${JSON.stringify(value, null, indent).replaceAll(unseen, (found) => found.split('').map((unit) => `\\u${escaped(unit.charCodeAt(0), 4)}`).join(''))}\n`

export function writeYaml(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false })
  visit(document, { Scalar: (_, node) => void (typeof node.value === 'string' && node.value.search(unseen) >= 0 && (node.type = 'QUOTE_DOUBLE')) })
  return document.toString({ lineWidth: 0 }).replaceAll(unseen, (found) => `\\U${escaped(found.codePointAt(0)!, 8)}`)
}

/** Prints a list: an array in JSON and YAML, one name a line with `-o name`, else a table. */
export function printList<T>({ io, format }: Output, shape: Shape<T>, items: readonly T[]): void {
  if (format === 'json') io.out(writeJson(items))
  else if (format === 'yaml') io.out(writeYaml(items))
  else if (format === 'name') io.out(items.map((item) => `${plain(shape.nameOf(item)).replaceAll(/\s/g, ' ')}\n`).join(''))
  else if (items.length === 0) io.err(`${shape.none}\n`)
  else io.out(formatTable(shape.columns, items, { wide: format === 'wide', colours: wantsColours(io) }))
}

/** Prints one thing. */
export function printOne<T>(output: Output, shape: Shape<T>, item: T): void {
  const { io, format } = output
  if (format === 'json') io.out(writeJson(item))
  else if (format === 'yaml') io.out(writeYaml(item))
  else if (format === 'table' && shape.text !== undefined) io.out(shape.text(item))
  else printList(output, shape, [item])
}

/** Prints something that has no table: `text` for people. */
export function printText<T>({ io, format }: Output, value: T, text: string): void {
  io.out(format === 'json' ? writeJson(value) : format === 'yaml' ? writeYaml(value) : text)
}
