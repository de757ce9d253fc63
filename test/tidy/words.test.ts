import { basename } from 'node:path'
import { expect, test } from 'vitest'
import { exportsOf, productFiles, textOf, typescriptFiles } from './sources.ts'

/** The words that the glossary's last column forbids, in lower case. */
const forbidden = [...textOf('docs/GLOSSARY.md').matchAll(/^\|.*\|([^|]*)\|$/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, word = '']) => word.replaceAll('-', '')))

test('the glossary forbids some words', () => {
  expect(forbidden).toEqual(expect.arrayContaining(['subcloud', 'campaign']))
})

test('no exported name and no file uses a word that the glossary has another for', () => {
  const names = productFiles.flatMap((path) => [basename(path, '.ts').replaceAll('-', ''), ...exportsOf(path).map(({ name }) => name)].map((name) => ({ path, name })))
  const wrong = names.filter(({ name }) => forbidden.some((word) => name.toLowerCase().includes(word)))
  expect(wrong.map(({ path, name }) => `${path}: ${name}`)).toEqual([])
})

test('every invariant of the protocol is cited by a test', () => {
  const invariants = [...textOf('protocol/SPEC.md').matchAll(/^\| (I\d+) \|/gm)].map(([, id = '']) => id)
  expect(invariants.length).toBeGreaterThanOrEqual(16)
  const tests = typescriptFiles.filter((path) => path.startsWith('test/') && !path.startsWith('test/tidy/')).map(textOf).join('\n')
  expect(invariants.filter((id) => !new RegExp(`\\b${id}\\b`).test(tests))).toEqual([])
})

test('every invariant that is cited stands in SPEC.md', () => {
  const known = new Set([...textOf('protocol/SPEC.md').matchAll(/^\| (I\d+) \|/gm)].map(([, id]) => id))
  const cited = typescriptFiles.flatMap((path) => [...textOf(path).matchAll(/\b(?:SPEC |\()(I\d+)\b/g)].map(([, id]) => ({ path, id })))
  expect(cited.filter(({ id }) => !known.has(id!)).map(({ path, id }) => `${path}: ${id}`)).toEqual([])
})

test('where SPEC.md says which tests check an invariant, these files cite it', () => {
  const section = textOf('protocol/SPEC.md').split(/^## 7\. /m)[1] ?? ''
  const rows = [...section.matchAll(/^\| (I\d+) \| (.+) \|$/gm)].flatMap(([, id = '', cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, path = '']) => ({ id, path })))
  const wrong = rows.filter(({ id, path }) => !typescriptFiles.includes(path) || !new RegExp(`\\b${id}\\b`).test(textOf(path)))
  expect(wrong.map(({ id, path }) => `${id}: ${path}`)).toEqual([])
})
