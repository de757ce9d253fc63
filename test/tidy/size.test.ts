import { expect, test } from 'vitest'
import { codeOf, productFiles, textOf, typescriptFiles } from './sources.ts'

const fileLinesMax = 400
const functionLinesMax = 70

/** Functions that are longer, with why; each may only shrink. Take it out once it fits. */
const longFunctions: Record<string, { lines: number; because: string }> = {}

/** Uses of `any`: the number may only fall. */
const anyMax = 5

const linesOf = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0)

/**
 * Functions that start at the edge of a line or one step in, with how many lines are their own: what a factory declares
 * inside itself is counted there, like the methods of a class.
 */
function functionsOf(path: string): { name: string; lines: number }[] {
  const lines = textOf(path).split('\n')
  const found = lines.flatMap((line, start) => {
    const head = /^( {2})?(?:export )?(?:default )?(?:async )?function\*? (\w+)/.exec(line) ?? /^( {2})?(?:export )?const (\w+).*=> [{(]$/.exec(line)
    if (head === null) return []
    const indent = head[1] ?? ''
    const end = lines.findIndex((each, i) => i > start && new RegExp(`^${indent}[})]`).test(each) && !each.endsWith('{'))
    return [{ name: head[2]!, start, end, indent }]
  })
  return found.map((outer) => {
    const inner = outer.indent === '' ? found.filter((each) => each.indent !== '' && each.start > outer.start && each.end < outer.end) : []
    return { name: outer.name, lines: outer.end - outer.start + 1 - inner.reduce((sum, each) => sum + each.end - each.start + 1, 0) }
  })
}

test(`no file is longer than ${fileLinesMax} lines`, () => {
  expect(productFiles.filter((path) => linesOf(textOf(path)) > fileLinesMax)).toEqual([])
})

test(`functions fit ${functionLinesMax} lines, and those that do not yet only shrink`, () => {
  const long = productFiles.flatMap((path) => functionsOf(path).filter(({ lines }) => lines > functionLinesMax).map(({ name, lines }) => ({ name: `${path} ${name}`, lines })))
  expect(long.filter(({ name, lines }) => lines > (longFunctions[name]?.lines ?? functionLinesMax))).toEqual([])
  const found = new Set(long.map(({ name }) => name))
  expect(Object.keys(longFunctions).filter((name) => !found.has(name)), 'these fit now: take them out of the list').toEqual([])
})

test(`\`any\` is used at most ${anyMax} times`, () => {
  const uses = typescriptFiles.flatMap((path) => [...codeOf(path).matchAll(/[:<,|&(]\s*any\b(?!\s*[:=(])|\bas any\b|\bany\[\]/g)].map(() => path))
  expect(uses.length, uses.join(', ')).toBeLessThanOrEqual(anyMax)
})
