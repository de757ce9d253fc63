import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { LineCounter, isMap, isNode, isPair, parseDocument, type Document } from 'yaml'
import type { z } from 'zod'
import { CliError } from '../cli-error.ts'
import type { Io } from '../io.ts'

/** Longest file of settings that is read. */
const fileBytesMax = 1024 * 1024

/** The text of a file named on the command line; `-` is the standard input. Throws CliError `usage`. */
export async function readText(io: Pick<Io, 'directory' | 'input'>, name: string): Promise<string> {
  try {
    const text = name === '-' ? await io.input() : await readFile(resolve(io.directory, name), 'utf8')
    if (text.length > fileBytesMax) throw new Error(`it is longer than ${fileBytesMax} bytes`)
    return text
  } catch (error) {
    throw new CliError('usage', `${name} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** YAML (or JSON) as plain values, with a way to say on which line something is. Throws CliError `usage` naming the lines of every fault. */
export function parseYaml(text: string, name: string): { value: unknown; check<S extends z.ZodType>(schema: S, value?: unknown): z.output<S> } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    const details = document.errors.map((error) => `${place(name, lines, error.pos[0])} ${error.message}`)
    throw new CliError('usage', `${name} is not valid YAML`, { details })
  }
  const value: unknown = document.toJS()
  return {
    value,
    check(schema, part = value) {
      const parsed = schema.safeParse(part)
      if (parsed.success) return parsed.data
      const details = parsed.error.issues.flatMap(clearest).map((issue) => `${place(name, lines, offsetOf(document, issue))} ${issue.path.join('.')}${issue.path.length === 0 ? '' : ': '}${issue.message}`)
      throw new CliError('usage', `${name} is not valid`, { details })
    },
  }
}

type Issue = z.core.$ZodIssue

/** Of a union that nothing fitted, the alternative that came nearest: "Invalid input" helps nobody. */
function clearest(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
  const score = (issues: readonly Issue[]): number => Math.max(...issues.map((inner) => inner.path.length * 2 + (inner.code === 'invalid_type' ? 0 : 1)))
  const nearest = issue.errors.reduce((best, other) => (score(other) > score(best) ? other : best))
  return nearest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(clearest)
}

/** Where a fault is: at the key it is about, else at the nearest thing around it. */
function offsetOf(document: Document, issue: Issue): number {
  const extra = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  for (let path = extra === undefined ? [...issue.path] : [...issue.path, extra]; path.length > 0; path = path.slice(0, -1)) {
    const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
    const pair = isMap(parent) ? parent.items.find((item) => isPair(item) && isNode(item.key) && String(item.key) === String(path.at(-1))) : undefined
    const node: unknown = pair === undefined ? document.getIn(path, true) : pair.key
    if (isNode(node) && node.range) return node.range[0]
  }
  return isNode(document.contents) && document.contents.range ? document.contents.range[0] : 0
}

function place(name: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset)
  return `${name}:${line}:${col}:`
}
