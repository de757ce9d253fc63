import { describe, expect, test } from 'vitest'
import { ReleaseId, Version } from '../../protocol/ids.ts'
import { checkUpgradePath } from '../../protocol/upgrade-path.ts'
import { compareVersions, inRange, VersionRange } from '../../protocol/version.ts'

/** In the order of Semantic Versioning 2.0.0 §11, each lower than the next. */
const ordered = [
  '0.9.9', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0',
  '1.0.1-0', '1.0.1-1a', '1.0.1', '1.2.0', '1.10.0', '2.0.0-1', '2.0.0-A', '2.0.0-a', '2.0.0', '999999999.999999999.999999999',
]

describe('versions', () => {
  test('are ordered as Semantic Versioning §11 says, each against every other', () => {
    for (const [i, a] of ordered.entries()) for (const [j, b] of ordered.entries()) expect(Math.sign(compareVersions(a, b)), `${a} and ${b}`).toBe(Math.sign(i - j))
  })

  test.each(['1', '1.2', '1.2.3.4', 'v1.2.3', '1.2.3-', '1.2.3-a..b', '1.2.3+build', '1.2.x', ' 1.2.3', '1.2.3\n', '-1.0.0', '1.2.3-ä', '9999999999.0.0'])('%j is none', (text) => {
    expect(Version.safeParse(text).success).toBe(false)
  })

  test.each([
    ['*', '0.0.1', true],
    ['1.2.0', '1.2.0', true],
    ['=1.2.0', '1.2.1', false],
    ['>=1.2.0 <2.0.0', '1.2.0', true],
    ['>=1.2.0 <2.0.0', '1.9.9', true],
    ['>=1.2.0 <2.0.0', '2.0.0', false],
    ['>=1.2.0  <=2.0.0', '2.0.0', true],
    ['>1.2.0', '1.2.0', false],
    ['<1.2.0', '1.2.0-rc.1', true],
    ['>=1.2.0', '1.2.0-rc.1', false],
    ['>=2.0.0 <1.0.0', '1.5.0', false],
  ])('the range %j: %s is in it: %s', (range, version, isIn) => {
    expect(VersionRange.safeParse(range).success).toBe(true)
    expect(inRange(version, range)).toBe(isIn)
  })

  test.each(['', ' ', '>=1.2', '^1.2.0', '~1.2.0', '>= 1.2.0', '1.x', '>=1.0.0 || <0.1.0', '>=1.0.0,<2.0.0'])('%j is no range', (range) => {
    expect(VersionRange.safeParse(range).success).toBe(false)
  })
})

describe('the upgrade path (I4, F3)', () => {
  const target = { kind: 'release' as const, name: 'shop', version: '2.0.0' }
  const patch = { kind: 'patch' as const, name: 'shop', version: '2.0.1', replaces: ['2.0.0'] }
  const from = (id: string | null) => (id === null ? null : ReleaseId.parse(id))

  test.each([
    ['an empty site takes a release', null, target, null],
    ['an empty site takes no patch', null, patch, 'needs-base'],
    ['a lower version goes up', 'shop@1.9.9', target, null],
    ['a pre-release goes up to its release', 'shop@2.0.0-rc.1', target, null],
    ['the same version again is allowed', 'shop@2.0.0', target, null],
    ['a higher version never goes down', 'shop@2.0.1', target, 'downgrade'],
    ['replaces does not make a downgrade legal', 'shop@3.0.0', { ...target, replaces: ['*'] }, 'downgrade'],
    ['another product is refused', 'pump@1.0.0', target, 'other-product'],
    ['another product that is named is taken over', 'pump@1.0.0', { ...target, replaces: ['pump@>=1.0.0 <2.0.0'] }, null],
    ['another version of the named product is not', 'pump@2.0.0', { ...target, replaces: ['pump@>=1.0.0 <2.0.0'] }, 'other-product'],
    ['a release that must be passed through holds up those before it', 'shop@1.0.0', { ...target, requires: '>=1.5.0' }, 'requires-unmet'],
    ['and lets those after it go', 'shop@1.5.0', { ...target, requires: '>=1.5.0' }, null],
    ['what replaces does not name is held up', 'shop@1.3.0', { ...target, replaces: ['>=1.4.0'] }, 'not-from-here'],
    ['unless skips names it', 'shop@1.3.0', { ...target, replaces: ['>=1.4.0'], skips: ['1.3.0'] }, null],
    ['skips alone holds nobody up', 'shop@1.0.0', { ...target, skips: ['1.3.0'] }, null],
    ['a patch goes onto what it replaces', 'shop@2.0.0', patch, null],
    ['and onto nothing else', 'shop@1.9.0', patch, 'not-from-here'],
  ])('%s', (_, running, to, reason) => {
    const result = checkUpgradePath(from(running), to)
    expect(result.ok ? null : result.refusal.reason).toBe(reason)
  })

  test('a refusal says in a sentence what would be needed', () => {
    const result = checkUpgradePath(from('shop@1.0.0'), { ...target, requires: '>=1.5.0' })
    expect(result).toMatchObject({ refusal: { detail: 'shop@2.0.0 requires >=1.5.0, but shop@1.0.0 runs' } })
  })
})
