import { stringify } from 'yaml'
import type { Io } from '../io.ts'
import { wantsColours } from './paint.ts'
import { formatTable, type Column } from './table.ts'

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

const writeJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
export const writeYaml = (value: unknown): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })

/** Prints a list: an array in JSON and YAML, one name a line with `-o name`, else a table. */
export function printList<T>({ io, format }: Output, shape: Shape<T>, items: readonly T[]): void {
  if (format === 'json') io.out(writeJson(items))
  else if (format === 'yaml') io.out(writeYaml(items))
  else if (format === 'name') io.out(items.map((item) => `${shape.nameOf(item)}\n`).join(''))
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
