import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allImports, codeOf, productFiles } from './sources.ts'

/** Law 2: files of these names decide, and do nothing else. */
const pureFiles = productFiles.filter((path) => /^(decide|fold|recover|judge)(-[a-z-]+)?\.ts$/.test(basename(path)))

const banned: readonly { what: string; instead: string; pattern: RegExp }[] = [
  { what: 'Date.now', instead: 'take nowMs as an argument', pattern: /\bDate\.now\b/ },
  { what: 'new Date()', instead: 'take nowMs as an argument', pattern: /\bnew Date\(\s*\)|\bDate\(\s*\)/ },
  { what: 'Math.random', instead: 'take chance as an argument', pattern: /\bMath\.random\b/ },
  { what: 'crypto', instead: 'take ids and digests as arguments', pattern: /\bcrypto\s*\./ },
  { what: 'performance', instead: 'take the time as an argument', pattern: /\bperformance\s*\./ },
  { what: 'process', instead: 'take settings as arguments', pattern: /\bprocess\s*\./ },
  { what: 'fetch', instead: 'gather before, apply after', pattern: /(?<![.\w])fetch\s*\(/ },
  { what: 'timers', instead: 'return when to look again', pattern: /\bset(?:Timeout|Interval|Immediate)\b/ },
  { what: 'async', instead: 'gather before, apply after', pattern: /\basync\b|\bawait\b|\bPromise\b/ },
]

describe('what decides is pure', () => {
  test('there are such files on both sides', () => {
    expect(pureFiles).toEqual(expect.arrayContaining(['functions/rollout/decide.ts', 'functions/rollout/judge.ts', 'functions/ingest/fold.ts', 'edge-agent/journal/recover.ts', 'edge-agent/link/judge.ts']))
  })

  test.each(pureFiles)('%s knows no clock, no chance, no environment and does nothing', (path) => {
    const code = codeOf(path)
    expect(banned.filter(({ pattern }) => pattern.test(code)).map(({ what, instead }) => `${what}: ${instead}`)).toEqual([])
    expect(allImports.filter((each) => each.from === path && !each.typeOnly && each.specifier.startsWith('node:')).map((each) => each.specifier)).toEqual([])
  })

  test('what they call does no I/O either', () => {
    const reached = new Set(pureFiles)
    for (const path of reached) for (const { from, target, typeOnly } of allImports) if (from === path && !typeOnly && target !== null) reached.add(target)
    const platform = allImports.filter(({ from, typeOnly, specifier }) => reached.has(from) && !typeOnly && specifier.startsWith('node:'))
    expect(platform.map(({ from, specifier }) => `${from} imports ${specifier}`)).toEqual([])
  })
})

test('the environment is read in one place per side', () => {
  const allowed = /^(functions\/(platform|entry)\/|edge-agent\/(main|murmur-agent|cli|config|environment)\.ts$|cli\/(main|environment|find-controller|io)\.ts$|infra\/)/
  expect(productFiles.filter((path) => /\bprocess\s*\.\s*env\b/.test(codeOf(path)) && !allowed.test(path))).toEqual([])
})
