import { describe, expect, test } from 'vitest'
import { assignWaves, groupOf, type Member } from '../../functions/rollout/assign-waves.ts'
import { RolloutPolicy } from '../../protocol/policy.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const members = (count: number, labels: (i: number) => Record<string, string> = () => ({})): Member[] =>
  Array.from({ length: count }, (_, i) => ({ siteId: `s${String(i).padStart(4, '0')}`, labels: labels(i), lot: String((i * 7919) % 10_007).padStart(5, '0') }))

const policyOf = (policy: Record<string, unknown> = {}) => RolloutPolicy.parse(policy)
const sizes = (assigned: ReturnType<typeof assignWaves>) => assigned.waves.map((wave, ordinal) => [wave.name, assigned.placements.filter((p) => p.wave === ordinal).length])

describe('waves and their members', () => {
  test('by default one canary, a tenth, and the rest', () => {
    expect(sizes(assignWaves(members(100), policyOf()))).toEqual([['canary', 1], ['ramp', 10], ['rest', 89]])
  })

  test('a share is of all members, not of those that are left, and is rounded up', () => {
    const policy = policyOf({ waves: [{ name: 'a', size: '50%' }, { name: 'b', size: '25%' }, { name: 'c', size: 'rest' }] })
    expect(sizes(assignWaves(members(15), policy))).toEqual([['a', 8], ['b', 4], ['c', 3]])
  })

  test('waves that stay empty vanish, and no gate waits for nobody', () => {
    expect(sizes(assignWaves(members(1), policyOf()))).toEqual([['canary', 1]])
    expect(sizes(assignWaves(members(2), policyOf()))).toEqual([['canary', 1], ['ramp', 1]])
    // the last one stays where there is nobody at all: for joiners, and for those who are retried
    expect(assignWaves([], policyOf())).toMatchObject({ waves: [{ name: 'rest' }], placements: [] })
  })

  test('a wave with a selector takes only whom it selects; the others are not lost', () => {
    const policy = policyOf({ waves: [{ name: 'labs', size: 'rest', selector: { matchLabels: { kind: 'lab' } } }, { name: 'rest', size: 'rest' }] })
    const assigned = assignWaves(members(10, (i) => ({ kind: i < 3 ? 'lab' : 'shop' })), policy)
    expect(sizes(assigned)).toEqual([['labs', 3], ['rest', 7]])
    expect(assigned.placements.filter((p) => p.wave === 0).map((p) => p.siteId).sort()).toEqual(['s0000', 's0001', 's0002'])
  })

  test('whom no wave took goes last, behind a wave without gates of its own (F60)', () => {
    const policy = policyOf({ waves: [{ name: 'canary', size: 1, barrier: true, soak: '1h', approval: true, successThreshold: 1 }, { name: 'rest', size: 2 }] })
    const assigned = assignWaves(members(6), policy)
    expect(sizes(assigned)).toEqual([['canary', 1], ['rest', 2], ['rest-of-all', 3]])
    expect(assigned.waves[2]).toMatchObject({ barrier: false, soak: 0, approval: false })
  })

  test('are the same whatever the order in which the sites were read', () => {
    const chance = seededFractions(1)
    const sites = members(200, (i) => ({ region: `r${i % 4}` }))
    const once = assignWaves(sites, policyOf())
    for (let i = 0; i < 5; i++) expect(assignWaves([...sites].sort(() => chance() - 0.5), policyOf())).toEqual(once)
  })

  test('every member has exactly one wave, and places count up without a gap from wave to wave', () => {
    for (const count of [1, 2, 3, 9, 10, 11, 99, 500]) {
      for (const waves of [undefined, [{ name: 'a', size: 3 }], [{ name: 'a', size: '33%' }, { name: 'b', size: 5, selector: { matchLabels: { odd: 'yes' } } }, { name: 'c', size: 'rest' }]]) {
        const { placements, waves: made } = assignWaves(members(count, (i): Record<string, string> => (i % 2 === 1 ? { odd: 'yes' } : {})), policyOf(waves === undefined ? {} : { waves }))
        expect(new Set(placements.map((p) => p.siteId)).size).toBe(count)
        expect(placements.map((p) => p.place)).toEqual(Array.from({ length: count }, (_, i) => i))
        expect(placements.map((p) => p.wave)).toEqual(placements.map((p) => p.wave).sort((a, b) => a - b))
        expect(new Set(placements.map((p) => p.wave)).size).toBe(made.length)
      }
    }
  })

  test('a site’s group is the value of the label that groups them, empty where it has none', () => {
    const policy = policyOf({ groupBy: { label: 'region', maxParallel: 1 } })
    expect([groupOf({ region: 'north' }, policy), groupOf({}, policy), groupOf({ region: 'north' }, policyOf())]).toEqual(['north', '', ''])
  })
})
