import { expect, test } from 'vitest'
import { limits } from '../../protocol/limits.ts'
import { allFiles, allImports, codeOf, exportsOf, productFiles, textOf, typescriptFiles } from './sources.ts'

/** Files that something other than an import starts: npm scripts, bins, launchers, wrangler, vitest. */
const startedFrom = [...allFiles.filter((path) => /(\.(mjs|json|toml|sh|service|ya?ml)|\.ci\/run)$/.test(path) && path !== 'package-lock.json')]
const isEntry = (path: string): boolean =>
  path.endsWith('.test.ts') || path === 'vitest.config.ts' || /^bench\//.test(path) || [...startedFrom, ...typescriptFiles].some((starter) => starter !== path && new RegExp(`['"\`\\s./]${path.replaceAll('.', '\\.')}\\b`).test(textOf(starter)) || mentionsBeside(starter, path))

/** A launcher names its program relative to itself. */
const mentionsBeside = (starter: string, path: string): boolean => starter.endsWith('.mjs') && textOf(starter).includes(`./${path.slice(path.lastIndexOf('/') + 1)}`)

test('every file is imported, or is started by name', () => {
  const imported = new Set(allImports.map(({ target }) => target))
  expect(typescriptFiles.filter((path) => !imported.has(path) && !isEntry(path))).toEqual([])
})

test('every exported value is imported by some other file', () => {
  const used = new Map<string, Set<string>>()
  for (const { target, names } of allImports) if (target !== null) for (const name of names) used.set(target, (used.get(target) ?? new Set()).add(name))
  const dead = typescriptFiles
    .filter((path) => !isEntry(path))
    .flatMap((path) => exportsOf(path).filter(({ name, value }) => value && !used.get(path)?.has(name) && !used.get(path)?.has('*')).map(({ name }) => `${path}: ${name}`))
  expect(dead).toEqual([])
})

test('every exported type is imported by some other file, or is part of what its own file says', () => {
  const used = new Set(allImports.flatMap(({ target, names }) => names.map((name) => `${target}: ${name}`)))
  const dead = productFiles.flatMap((path) =>
    exportsOf(path)
      .filter(({ name, value }) => !value && !used.has(`${path}: ${name}`) && (codeOf(path).match(new RegExp(`\\b${name}\\b`, 'g')) ?? []).length < 2)
      .map(({ name }) => `${path}: ${name}`),
  )
  expect(dead).toEqual([])
})

test('every limit of the protocol limits something', () => {
  const code = productFiles.map(codeOf).join('\n')
  expect(Object.keys(limits).filter((name) => !new RegExp(`\\blimits\\s*\\.\\s*${name}\\b`).test(code))).toEqual([])
})
