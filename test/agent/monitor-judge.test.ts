import { describe, expect, test } from 'vitest'
import { conditionsOf, judge, keepSources, restoreJudgement, type Debounce, type Judgement, type Reading } from '../../edge-agent/monitor/judge.ts'
import { findingReading, levelReading } from '../../edge-agent/monitor/judge-levels.ts'
import { isAtLeast } from '../../protocol/alarms.ts'
import type { Severity } from '../../protocol/states.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const levels = { minor: null, major: 85, critical: 95 }
const debounce: Debounce & { hysteresis: number } = { raiseAfter: 2, outOf: 3, clearAfter: 2, hysteresis: 5 }
const full = (value: number, rule = debounce, path = '/var'): Reading => levelReading({ alarmId: '100.003', entity: path, what: `${path} is ${value} % full`, unit: ' %' }, value, levels, rule)
const look = (before: Judgement, readings: Reading[] | null): Judgement => judge(before, 'nodes', new Map([['nodes filesystem', readings]]))
const nothing: Judgement = new Map()
const severityOf = (judgement: Judgement): Severity | null => conditionsOf(judgement)[0]?.severity ?? null
const after = (values: number[], rule = debounce): Judgement => values.reduce((judgement, value) => look(judgement, [full(value, rule)]), nothing)
const seeds = Array.from({ length: 60 }, (_, i) => i + 1)

describe('a value against its levels', () => {
  test('is raised once enough of the last samples are beyond one, and says number and level', () => {
    expect(severityOf(after([90]))).toBeNull()
    expect(severityOf(after([90, 10, 10, 90]))).toBeNull()
    expect(conditionsOf(after([90, 10, 91]))).toMatchObject([{ severity: 'major', entity: '/var', text: '/var is 91 % full (level 85 %)' }])
  })

  test('gets worse by the same rule, and better only beyond the hysteresis', () => {
    expect(severityOf(after([96, 90]))).toBe('major')
    expect(severityOf(after([96, 96]))).toBe('critical')
    expect(severityOf(after([96, 96, 91, 91, 91]))).toBe('critical')
    expect(severityOf(after([96, 96, 89, 89]))).toBe('major')
    expect(severityOf(after([96, 96, 89, 89, 81, 81]))).toBe('major')
    expect(severityOf(after([96, 96, 79, 79]))).toBeNull()
  })

  test('a level that is switched off is none', () => {
    const off = levelReading({ alarmId: '100.003', entity: '/', what: '', unit: '' }, 100, { minor: null, major: null, critical: null }, debounce)
    expect([off.beyond, off.near]).toEqual([null, null])
  })

  test.each(seeds)('is never raised before n of m samples, and never better while one of the last is near (seed %i)', (seed) => {
    const fraction = seededFractions(seed)
    const rule = { raiseAfter: 1 + Math.floor(fraction() * 4), outOf: 1 + Math.floor(fraction() * 6), clearAfter: 1 + Math.floor(fraction() * 4), hysteresis: fraction() * 10 }
    const values = Array.from({ length: 120 }, () => 75 + fraction() * 25)
    let [judgement, before] = [nothing, null as Severity | null]
    values.forEach((value, i) => {
      judgement = look(judgement, [full(value, rule)])
      const now = severityOf(judgement)
      const rank = (severity: Severity | null): number => (severity === null ? 0 : severity === 'major' ? 1 : 2)
      const window = values.slice(Math.max(0, i + 1 - Math.max(rule.outOf, rule.raiseAfter)), i + 1)
      if (rank(now) > rank(before)) expect(window.filter((each) => each >= levels[now as 'major']).length).toBeGreaterThanOrEqual(rule.raiseAfter)
      if (rank(now) < rank(before)) {
        const recent = values.slice(i + 1 - rule.clearAfter, i + 1)
        expect(recent).toHaveLength(rule.clearAfter)
        expect(Math.max(...recent)).toBeLessThan(levels[before as 'major'] - rule.hysteresis)
      }
      before = now
    })
  })

  test.each(seeds)('that stays within the hysteresis changes nothing once it is raised (seed %i)', (seed) => {
    const fraction = seededFractions(seed)
    let judgement = after([88, 88])
    for (let i = 0; i < 200; i++) {
      judgement = look(judgement, [full(80 + fraction() * 14.9)])
      expect(severityOf(judgement)).toBe('major')
    }
  })

  test.each(seeds)('restarts, wherever they come, neither clear nor raise by themselves and do not change where it ends (seed %i)', (seed) => {
    const fraction = seededFractions(seed)
    let [through, restarted] = [nothing, nothing]
    const take = (value: number): void => {
      through = look(through, [full(value)])
      if (fraction() < 0.2) {
        const stood = conditionsOf(restarted)
        restarted = restoreJudgement(stood)
        expect(conditionsOf(restarted)).toEqual(stood)
      }
      const before = severityOf(restarted)
      restarted = look(restarted, [full(value)])
      const raised = severityOf(restarted)
      // what only the restarted one finds bad would be raised without two samples of its own
      if (before === null && raised !== null) expect(value).toBeGreaterThanOrEqual(85)
    }
    for (let i = 0; i < 100; i++) take(60 + fraction() * 40)
    const last = [50, 90, 99][Math.floor(fraction() * 3)]!
    for (let i = 0; i < 30; i++) take(last)
    const [a, b] = [severityOf(through), severityOf(restarted)]
    // inside the band of the hysteresis both are right; else they agree
    if (last !== 90) expect(b).toBe(a)
    else expect([a, b].every((each) => each !== null && isAtLeast(each, 'major'))).toBe(true)
  })
})

describe('what is looked at', () => {
  const failed = (entity: string): Reading => findingReading({ alarmId: '120.001', entity, text: `${entity} failed` }, 'major', { raiseAfter: 1, outOf: 1, clearAfter: 2 })

  test('and cannot be told this time changes nothing', () => {
    const raised = look(nothing, [failed('a')])
    expect(conditionsOf(look(look(look(raised, null), null), null))).toHaveLength(1)
  })

  test('and is not there any more clears after as many looks as it takes', () => {
    const raised = look(nothing, [failed('a'), failed('b')])
    expect(conditionsOf(look(raised, [failed('b')])).map(({ entity }) => entity).sort()).toEqual(['a', 'b'])
    expect(conditionsOf(look(look(raised, [failed('b')]), [failed('b')])).map(({ entity }) => entity)).toEqual(['b'])
  })

  test('twice under one name counts by the worse', () => {
    const worse = findingReading({ alarmId: '120.001', entity: 'a', text: 'worse' }, 'critical', { raiseAfter: 1, outOf: 1, clearAfter: 1 })
    expect(conditionsOf(look(nothing, [failed('a'), worse, failed('a')]))).toMatchObject([{ severity: 'critical', text: 'worse' }])
  })

  test('and is not looked at any more is gone at once, with its scope or with its source', () => {
    const raised = judge(look(nothing, [failed('a')]), 'units', new Map([['units', [failed('u')]]]))
    expect(conditionsOf(judge(raised, 'nodes', new Map())).map(({ entity }) => entity)).toEqual(['u'])
    expect(conditionsOf(keepSources(raised, new Set(['nodes']))).map(({ entity }) => entity)).toEqual(['a'])
  })

  test('a thousand things that come and go leave nothing behind', () => {
    let judgement = nothing
    for (let i = 0; i < 50; i++) judgement = look(judgement, Array.from({ length: 1000 }, (_, k) => failed(`${i} ${k}`)))
    expect([...judgement.values()].reduce((sum, scope) => sum + scope.size, 0)).toBeLessThanOrEqual(2000)
  })
})
