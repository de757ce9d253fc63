import { describe, expect, test } from 'vitest'
import { decideAlarms, restoreAlarms, type AlarmChange, type AlarmSet } from '../../edge-agent/monitor/decide-alarms.ts'
import type { Condition } from '../../edge-agent/monitor/judge.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { ReportBody } from '../../protocol/reports.ts'
import type { Severity } from '../../protocol/states.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const condition = (entity: string, severity: Severity = 'major', text = `${entity} is wrong`): Condition => ({ scope: 'units', alarmId: '120.001', entity, severity, text })
const many = (count: number, prefix = 'unit'): Condition[] => Array.from({ length: count }, (_, i) => condition(`${prefix}-${i}`))

/** A site's alarms over time: `tell` gives what is reported when these conditions hold. */
function aSite() {
  let set: AlarmSet = restoreAlarms([])
  let nowMs = 0
  return {
    pass: (spanMs: number) => void (nowMs += spanMs),
    restart: () => void (set = restoreAlarms([...set.told.values()])),
    standing: () => [...set.told.values()],
    tell(...conditions: Condition[]): AlarmChange[] {
      const { after, changes } = decideAlarms(set, conditions, { wallMs: 1_000_000 + nowMs, monotonicMs: nowMs })
      set = after
      return changes
    },
  }
}
const brief = (changes: AlarmChange[]): string[] => changes.map(({ raised, alarm }) => `${raised ? '+' : '-'}${alarm.entity} ${alarm.severity}`)

describe('the alarms of a site', () => {
  test('are told once when they begin, when their severity changes and when they end', () => {
    const site = aSite()
    expect(brief(site.tell(condition('a'), condition('b')))).toEqual(['+a major', '+b major'])
    expect(site.tell(condition('a', 'major', 'another number'), condition('b'))).toEqual([])
    expect(brief(site.tell(condition('a', 'critical'), condition('b')))).toEqual(['+a critical'])
    expect(brief(site.tell(condition('b')))).toEqual(['-a critical'])
    expect(site.standing()).toMatchObject([{ entity: 'b', sinceMs: 1_000_000, text: 'b is wrong' }])
  })

  test('are neither cleared nor told again by a restart', () => {
    const site = aSite()
    site.tell(condition('a'), condition('b', 'critical'))
    site.restart()
    expect(site.tell(condition('a'), condition('b', 'critical'))).toEqual([])
    expect(brief(site.tell(condition('a')))).toEqual(['-b critical'])
  })

  test('one that comes and goes is held raised until it was quiet, and costs a bounded number of reports (F46)', () => {
    const site = aSite()
    const changes: AlarmChange[] = []
    for (let i = 0; i < 1000; i++) {
      changes.push(...site.tell(...(i % 2 === 0 ? [condition('a')] : [])))
      site.pass(5000)
    }
    expect(changes.length).toBeLessThanOrEqual(limits.alarmFlapsMax + 1)
    expect(site.standing().map(({ entity }) => entity)).toEqual(['a'])
    site.pass(limits.alarmFlapWindowMs - 6000)
    expect(site.tell()).toEqual([])
    site.pass(6000)
    expect(brief(site.tell())).toEqual(['-a major'])
  })

  test('one that is held is still told to be worse, once', () => {
    const site = aSite()
    for (let i = 0; i < 8; i++) site.tell(...(i % 2 === 0 ? [condition('a')] : []))
    expect(brief(site.tell(condition('a', 'critical')))).toEqual(['+a critical'])
    expect(site.tell(condition('a', 'minor'))).toEqual([])
    expect(site.tell(condition('a', 'critical'))).toEqual([])
  })

  test('of ten thousand only so many are told one by one, the worst first, and one says that there are more (F67)', () => {
    const site = aSite()
    const changes = site.tell(...many(10_000), condition('worst', 'critical'))
    expect(changes.length).toBe(limits.alarmsPerSiteMax)
    expect(changes[0]!.alarm.entity).toBe('worst')
    expect(changes.at(-1)!.alarm).toMatchObject({ alarmId: alarmIds.tooMany, entity: 'site', text: `${limits.alarmsPerSiteMax - 1} alarms are told one by one, ${10_001 - (limits.alarmsPerSiteMax - 1)} more are not` })
    expect(site.tell(...many(9999), condition('worst', 'critical'))).toEqual([])
    const left = site.tell(...many(10))
    expect(left.filter(({ raised }) => raised)).toEqual([])
    expect(site.standing()).toHaveLength(10)
  })

  test('that were not told follow as soon as there is room', () => {
    const site = aSite()
    site.tell(...many(limits.alarmsPerSiteMax + 5))
    const rest = many(limits.alarmsPerSiteMax + 5).slice(6)
    site.tell(...rest)
    expect(site.standing().filter(({ scope }) => scope === 'units').map(({ entity }) => entity).sort()).toEqual(rest.map(({ entity }) => entity).sort())
  })

  test('what says that there are more does not come and go with the last one', () => {
    const site = aSite()
    site.tell(...many(limits.alarmsPerSiteMax))
    const changes = [0, 1, 0, 1, 0, 1].flatMap((more) => site.tell(...many(limits.alarmsPerSiteMax - 1 + more)))
    expect(changes.filter(({ alarm }) => alarm.alarmId === alarmIds.tooMany)).toEqual([])
    expect(brief(site.tell(...many(100))).at(-1)).toBe('-site major')
  })

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('what a controller makes of the reports is what stands, whatever comes and goes (seed %i)', (seed) => {
    const fraction = seededFractions(seed)
    const site = aSite()
    const known = new Map<string, Severity>()
    for (let i = 0; i < 300; i++) {
      site.pass(fraction() * 120_000)
      if (fraction() < 0.05) site.restart()
      const holds = many(fraction() < 0.1 ? 300 : 12).filter(() => fraction() < 0.5).map((each) => ({ ...each, severity: fraction() < 0.3 ? ('critical' as const) : ('major' as const) }))
      for (const { raised, alarm } of site.tell(...holds)) {
        if (raised) known.set(`${alarm.alarmId} ${alarm.entity}`, alarm.severity)
        else known.delete(`${alarm.alarmId} ${alarm.entity}`)
      }
      expect(new Map(site.standing().map((alarm) => [`${alarm.alarmId} ${alarm.entity}`, alarm.severity]))).toEqual(known)
      expect(known.size).toBeLessThanOrEqual(limits.alarmsPerSiteMax)
    }
  })

  test('with long texts in wide characters still fit into one message beside a whole block', () => {
    const site = aSite()
    site.tell(...many(500).map((each) => ({ ...each, entity: `${each.entity}${'界'.repeat(190)}`.slice(0, limits.alarmEntityMax), text: '界'.repeat(limits.reasonLengthMax) })))
    const alarms = site.standing().map(({ scope: _, ...alarm }) => alarm)
    expect(Buffer.byteLength(JSON.stringify(alarms))).toBeLessThanOrEqual(limits.standingBytesMax + 1000)
    expect(((limits.standingBytesMax + limits.metricBlockBytesMax) * 4) / 3 + 4096).toBeLessThan(limits.mqttMessageBytesMax)
    expect(ReportBody.safeParse({ kind: 'metrics', block: { startMs: 0, stepS: 60, nodes: [] }, alarms }).success).toBe(true)
  })
})
