import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { allFiles, root, textOf } from './sources.ts'

const textFiles = allFiles.filter((path) => /(\.(ts|mjs|js|md|sql|json|ya?ml|toml|sh|service|conf|example)|\.ci\/run|Dockerfile|LICENSE)$/.test(path) && path !== 'package-lock.json')
const papers = allFiles.filter((path) => path.endsWith('.md'))
const topLevel = new Set(allFiles.map((path) => path.split('/')[0]!))

/** Lines of the files that match, as `path:line`. */
function linesWith(pattern: RegExp, paths: readonly string[]): string[] {
  return paths.flatMap((path) => textOf(path).split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim().slice(0, 100)}`] : [])))
}

test('nothing is left for later in a comment', () => {
  expect(linesWith(new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`), textFiles)).toEqual([])
})

test('no path of one machine, and no registry but the public one, stands in a file', () => {
  expect(linesWith(/(?:^|[^\w.)\]}-])\/(?:Users|work|farm|mnt)\/\w/, textFiles)).toEqual([])
  expect(textFiles.filter((path) => textOf(path).includes(`${root}/`))).toEqual([])
  expect(linesWith(/"resolved": "(?!https:\/\/registry\.npmjs\.org\/)/, ['package-lock.json'])).toEqual([])
})

/** Markdown without fenced blocks: what is shown there is not said here. */
const prose = (path: string): string => textOf(path).replace(/^```[\s\S]*?^```/gm, '')

test.each(papers)('%s has one title', (path) => {
  expect(prose(path).split('\n').filter((line) => /^# /.test(line))).toHaveLength(1)
})

/** Relative paths that a paper mentions: targets of links, and code that begins with a top-level name. */
function pathsIn(path: string): string[] {
  const links = [...prose(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)].map(([, target = '']) => join(dirname(path), target))
  const code = [...prose(path).matchAll(/`([\w.-]+(?:\/[\w.-]+)*\/?)`/g)].map(([, text = '']) => text).filter((text) => text.includes('/') && topLevel.has(text.split('/')[0]!))
  return [...links, ...code]
}

test.each(papers)('every file that %s mentions is there', (path) => {
  expect(pathsIn(path).filter((each) => !existsSync(join(root, each)))).toEqual([])
})
