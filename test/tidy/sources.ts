import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

/** The repository as text, for the tests of its laws. Paths are relative to its root. */
export const root = join(import.meta.dirname, '../..')

const ignored = new Set(['node_modules', 'dist', '.git', '.murmur', '.wrangler'])

function walk(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (ignored.has(entry.name) || entry.name.endsWith('.log')) return []
    const path = join(directory, entry.name)
    return entry.isDirectory() ? walk(path) : entry.isFile() ? [relative(root, path)] : []
  })
}

export const allFiles: readonly string[] = walk(root).sort()

const texts = new Map<string, string>()
export function textOf(path: string): string {
  const text = texts.get(path) ?? readFileSync(join(root, path), 'utf8')
  texts.set(path, text)
  return text
}

export const typescriptFiles: readonly string[] = allFiles.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
export const productFiles: readonly string[] = typescriptFiles.filter((path) => !/^(test|bench)\//.test(path) && path !== 'vitest.config.ts')
export const folderOf = (path: string): string => path.slice(0, Math.max(0, path.indexOf('/')))

/** What a module names of another: `names` are imported (or passed on) under their exported names; `*` stands for all of them. */
export type Import = { from: string; specifier: string; target: string | null; names: readonly string[]; typeOnly: boolean }

const statement = /^(import|export)\s+(type\s+)?(?:([\w*{][^'";]*?)\s+from\s+)?'([^']+)'/gm
const dynamic = /\bimport\(\s*'([^']+)'/g

function namesIn(clause: string | undefined): string[] {
  if (clause === undefined) return []
  const braces = /\{([^}]*)\}/.exec(clause)
  const names = (braces?.[1] ?? '').split(',').map((part) => part.trim().replace(/^type\s+/, '').replace(/\s+as\s+.*$/, '')).filter((name) => name !== '')
  if (/\*/.test(clause.replace(/\{[^}]*\}/, ''))) names.push('*')
  if (/^\w/.test(clause)) names.push('default')
  return names
}

/** Imports and re-exports of a file. Statements start their line, which the formatting promises. */
function importsOf(path: string): Import[] {
  const text = textOf(path)
  const resolve = (specifier: string) => (specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : null)
  const found: Import[] = []
  for (const [, , typeKeyword, clause, specifier = ''] of text.matchAll(statement)) {
    const everyNameIsType = clause !== undefined && /^\{/.test(clause) && clause.replace(/[{}]/g, '').split(',').every((part) => part.trim() === '' || part.trim().startsWith('type '))
    found.push({ from: path, specifier, target: resolve(specifier), names: namesIn(clause), typeOnly: typeKeyword !== undefined || everyNameIsType })
  }
  for (const [, specifier = ''] of text.matchAll(dynamic)) found.push({ from: path, specifier, target: resolve(specifier), names: ['*'], typeOnly: false })
  return found
}

export const allImports: readonly Import[] = typescriptFiles.flatMap(importsOf)

const declaration = /^export\s+(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(function\*?|const|let|class|type|interface)\s+(\w+)/gm
const exportList = /^export\s+(?:type\s+)?\{([^}]*)\}/gm

/** Names that a file exports, each once, with whether a value stands behind it. */
export function exportsOf(path: string): { name: string; value: boolean }[] {
  const text = textOf(path)
  const found = new Map<string, boolean>()
  for (const [, kind, name = ''] of text.matchAll(declaration)) found.set(name, found.get(name) === true || (kind !== 'type' && kind !== 'interface'))
  for (const [, list = ''] of text.matchAll(exportList)) {
    for (const part of list.split(',')) {
      const name = part.trim().replace(/^type\s+/, '').replace(/^.*\s+as\s+/, '')
      if (name !== '') found.set(name, true)
    }
  }
  return [...found].map(([name, value]) => ({ name, value }))
}

/** A text with comments and the insides of strings and regular expressions blanked out; code inside `${}` stays, and so do line breaks. */
export function codeOf(path: string): string {
  const text = textOf(path)
  let code = ''
  const templates: number[] = []
  let depth = 0
  let i = 0
  const blankTo = (end: number) => {
    code += text.slice(i, end).replace(/[^\n]/g, ' ')
    i = end
  }
  const inTemplate = () => {
    while (i < text.length) {
      if (text[i] === '\\') blankTo(i + 2)
      else if (text[i] === '`') return void ((code += '`'), i++)
      else if (text.startsWith('${', i)) {
        templates.push(depth++)
        code += '${'
        i += 2
        return
      } else blankTo(i + 1)
    }
  }
  while (i < text.length) {
    const c = text[i]!
    if (text.startsWith('//', i)) blankTo(lineEnd(text, i))
    else if (text.startsWith('/*', i)) blankTo(text.indexOf('*/', i) + 2)
    else if (c === "'" || c === '"') {
      code += c
      i++
      blankTo(endOf(text, i, c))
      code += c
      i++
    } else if (c === '/' && /(?:^|[(,=:[!&|?{};\n>]|return|\$\{)\s*$/.test(code.slice(-40))) blankTo(regexpEnd(text, i))
    else {
      code += c
      i++
      if (c === '`') inTemplate()
      else if (c === '{') depth++
      else if (c === '}' && --depth === templates.at(-1)) {
        templates.pop()
        inTemplate()
      }
    }
  }
  return code
}

const lineEnd = (text: string, from: number): number => {
  const end = text.indexOf('\n', from)
  return end < 0 ? text.length : end
}

function endOf(text: string, from: number, quote: string): number {
  let i = from
  while (i < text.length && text[i] !== quote) i += text[i] === '\\' ? 2 : 1
  return i
}

function regexpEnd(text: string, from: number): number {
  let inClass = false
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '[') inClass = true
    else if (text[i] === ']') inClass = false
    else if (text[i] === '/' && !inClass) return i + 1
    else if (text[i] === '\n') return from + 1
  }
  return text.length
}
