import { expect, test } from 'vitest'
import { contractsSince, knownMigrations } from '../../db/known-migrations.ts'
import { allFiles, textOf } from './sources.ts'

const files = allFiles.filter((path) => path.startsWith('db/migrations/'))
const nameOf = (path: string): string => path.slice('db/migrations/'.length)

test('migrations have numbers without a gap, and names that say what they are for', () => {
  files.forEach((path, i) => expect(nameOf(path)).toMatch(new RegExp(`^${String(i + 1).padStart(4, '0')}_(contract_since_\\d+_\\d+_\\d+_)?[a-z]+(_[a-z]+)*\\.sql$`)))
})

test('the functions know every migration by name: what is bundled for Workers cannot look into the directory', () => {
  expect(knownMigrations).toEqual(files.map(nameOf))
})

/** What functions that run already could trip over. Comments and what is in quotes say nothing. */
const notOnlyAdding: readonly { what: string; pattern: RegExp }[] = [
  { what: 'takes something away', pattern: /\bDROP\s+(?:TABLE|COLUMN|VIEW)\b/i },
  { what: 'gives something another name', pattern: /\bRENAME\b/i },
  { what: 'adds a column that older functions leave empty where it may not be', pattern: /\bADD\s+(?:COLUMN\s+)?\w+(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b/i },
  { what: 'makes values unique that older functions repeat', pattern: /\bCREATE\s+UNIQUE\s+INDEX\b/i },
]
const faultsOf = (text: string): string[] => {
  const code = text.replace(/--.*$/gm, '').replace(/'[^']*'/g, "''")
  return notOnlyAdding.filter(({ pattern }) => pattern.test(code)).map(({ what }) => what)
}

test('migrations after the first only add, unless their name says since which version the functions do without what they take away (F57)', () => {
  const wrong = files.slice(1).filter((path) => contractsSince(nameOf(path)) === null).flatMap((path) => faultsOf(textOf(path)).map((fault) => `${path} ${fault}`))
  expect(wrong).toEqual([])
})

test.each([
  ['DROP TABLE site', 1], ['ALTER TABLE site DROP COLUMN nodes', 1], ['ALTER TABLE site RENAME COLUMN a TO b', 1], ['ALTER TABLE site ADD COLUMN a TEXT NOT NULL', 1], ['CREATE UNIQUE INDEX a ON b (c)', 1],
  ["ALTER TABLE site ADD COLUMN a TEXT NOT NULL DEFAULT ''", 0], ['ALTER TABLE site ADD COLUMN a TEXT; -- DROP TABLE later', 0], ['CREATE TABLE a (b TEXT NOT NULL) STRICT', 0], ['DROP INDEX a', 0],
])('the law sees %s as it is', (text, faults) => {
  expect(faultsOf(text)).toHaveLength(faults)
})
