import { describe, expect, test } from 'vitest'
import { eventOf, foldReports, type Folded } from '../../functions/ingest/fold.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { AttemptReport, Report } from '../../protocol/reports.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const bootId = 'ab'.repeat(16)
const rollout = `ro_${'0'.repeat(26)}`
const release = { id: 'shop@1.0.0', digest: 'cd'.repeat(32) }
const attemptOf = (site: string, attempt: number, phase: string, outcome: string | null = null) => ({
  deployment: `${rollout}:${site}`, attempt, phase, outcome, fault: outcome === 'failed' ? { code: 'x', detail: 'y' } : null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: 'request-1',
})
const report = (site: string, seq: number, body: unknown, incarnation = 1): Report => Report.parse({ v: 1, fleet: 'practice', site, incarnation, bootId, seq, sentAtMs: seq, body })
const hello = (seq: number, attempt: unknown = null, changes: Record<string, unknown> = {}) => ({
  kind: 'hello', connectionId: String(seq).padStart(32, '0'), agentVersion: '1', protocol: { min: 1, max: 1 }, architecture: 'x86_64', held: { desired: null, newest: { epoch: 1, generation: seq } }, trustVersion: 1,
  clockTrusted: true, running: release, previous: null, staged: null, attempt, nodes: [], ...changes,
})
const progress = (attempt: unknown) => ({ kind: 'progress', attempt, running: release, previous: null, nodes: [] })
const rejected = (reason: string, changes: Record<string, unknown> = {}) => ({ kind: 'rejected', reason, directive: 'grant', position: null, held: { epoch: 1, generation: 99 }, deployment: null, attempt: null, detail: 'why', ...changes })

/** A day at three sites: every kind of report, two enrolments of one of them. */
const reports: Report[] = ['a', 'b', 'c'].flatMap((site) => [
  report(site, 1, hello(1)),
  report(site, 2, { kind: 'inventory', facts: { kernel: '6.1', disk: 'old' } }),
  report(site, 3, { kind: 'staged', release, fault: null }),
  report(site, 4, progress(attemptOf(site, 1, 'staging'))),
  report(site, 5, { kind: 'alarm', alarmId: '100.1', entity: 'disk', raised: true, severity: 'major', text: 'full' }),
  report(site, 6, progress(attemptOf(site, 1, 'ended', 'failed'))),
  report(site, 7, { kind: 'alarm', alarmId: '100.1', entity: 'disk', raised: false, severity: 'major', text: 'full' }),
  report(site, 8, { kind: 'gone', connectionId: '1'.padStart(32, '0') }),
  report(site, 9, hello(9, attemptOf(site, 2, 'applying'))),
  report(site, 10, rejected('stale')),
  report(site, 11, rejected('bad-signature', { directive: 'unreadable' })),
  report(site, 12, rejected('unknown-desired', { deployment: `${rollout}:${site}`, attempt: 2 })),
  report(site, 13, { kind: 'answer', command: `cm_${site.repeat(26)}`, result: 'done', detail: '' }),
  report(site, 14, progress(attemptOf(site, 2, 'ended', 'succeeded'))),
  report(site, 16, { kind: 'metrics', block: { startMs: 900_000, stepS: 60, nodes: [] }, alarms: [{ alarmId: '100.2', entity: 'disk', severity: 'major', text: 'full', sinceMs: 1 }] }),
  report(site, 18, { kind: 'metrics', block: { startMs: 1_800_000, stepS: 60, nodes: [] }, alarms: [] }),
  report(site, 17, { kind: 'alarm', alarmId: '100.2', entity: 'disk', raised: false, severity: 'major', text: 'full' }),
  report(site, 21, { kind: 'alarm', alarmId: '100.1', entity: 'disk', raised: false, severity: 'major', text: 'full' }),
  report(site, 20, { kind: 'standing', alarms: [], monitoring: 'ab'.repeat(32) }),
  report(site, 15, { kind: 'inventory', facts: { disk: 'new', kernel: '6.1' } }),
]).concat(report('a', 1, hello(1), 2))

/** Rows without the order in which they stand: each is guarded by its own sequence. */
const rowsOf = (folded: Folded) => Object.fromEntries(Object.entries(folded).map(([kind, rows]) => [kind, (rows as unknown[]).map((row) => JSON.stringify(row)).sort()]))

describe('reports fold to the newest of each kind (I8)', () => {
  const once = foldReports(reports)

  test('whatever their order, and however often each comes (F36, F49)', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const chance = seededFractions(seed)
      const repeated = reports.flatMap((each) => Array.from({ length: 1 + Math.floor(chance() * 3) }, () => each))
      const shuffled = repeated.map((each) => ({ each, at: chance() })).sort((x, y) => x.at - y.at).map(({ each }) => each)
      expect(rowsOf(foldReports(shuffled)), `seed ${seed}`).toEqual(rowsOf(once))
    }
  })

  test('what comes later in parts gives rows that are as new as those that come at once, or newer', () => {
    const newest = (folded: Folded) => Math.max(...folded.attempts.filter((row) => row.site === 'b').map((row) => row.seq))
    expect(newest(foldReports(reports.slice(0, 20)))).toBeLessThanOrEqual(newest(once))
  })

  test('one row for each site, attempt and alarm', () => {
    expect(once.hellos.map(({ site, incarnation, seq }) => [site, incarnation, seq]).sort()).toEqual([['a', 2, 1], ['b', 1, 9], ['c', 1, 9]])
    expect(once.attempts.map(({ site, attempt, event }) => [site, attempt.attempt, event]).sort()).toEqual([['a', 2, 'succeeded'], ['b', 2, 'succeeded'], ['c', 2, 'succeeded']])
    expect(once.alarms.filter(({ alarmId }) => alarmId === '100.1').map(({ site, raised }) => [site, raised]).sort()).toEqual([['a', false], ['b', false], ['c', false]])
    expect(once.inventories.find(({ site }) => site === 'b')?.facts).toBe('{"disk":"new","kernel":"6.1"}')
    expect(once.positions.find(({ site }) => site === 'b')?.held).toEqual({ epoch: 1, generation: 99 })
  })

  test('a newer enrolment counts more than any sequence of an older one (F31)', () => {
    const [row] = foldReports([report('a', 900, hello(5)), report('a', 1, hello(7), 2)]).hellos
    expect([row?.incarnation, row?.seq]).toEqual([2, 1])
  })

  test('of a site that says all that stands, only the single alarms that it says later count, and those that it says only once', () => {
    const single = (seq: number, alarmId: string, incarnation = 1) => report('a', seq, { kind: 'alarm', alarmId, entity: 'x', raised: true, severity: 'major', text: '' }, incarnation)
    const whole = report('a', 5, { kind: 'metrics', block: { startMs: 0, stepS: 60, nodes: [] }, alarms: [] })
    const { alarms, standing } = foldReports([single(4, '100.1'), single(3, alarmIds.duplicateIdentity), whole, single(6, '100.2'), report('b', 1, { kind: 'alarm', alarmId: '100.3', entity: 'x', raised: true, severity: 'major', text: '' })])
    expect([alarms.map(({ alarmId }) => alarmId).sort(), standing.map(({ seq }) => seq)]).toEqual([['100.2', '100.3', alarmIds.duplicateIdentity].sort(), [5]])
    expect(foldReports([whole, single(1, '100.1', 2)]).alarms).toHaveLength(1)
  })

  test('nothing gives nothing', () => {
    expect(Object.values(foldReports([])).every((rows) => rows.length === 0)).toBe(true)
  })
})

describe('what a report means', () => {
  test.each([['accepted', null, 'started'], ['rolling-back', null, 'started'], ['ended', 'timed-out', 'timed-out'], ['ended', null, 'started']] as const)('an attempt that is %s with outcome %s is "%s"', (phase, outcome, event) => {
    expect(eventOf(AttemptReport.parse(attemptOf('a', 1, phase, outcome)))).toBe(event)
  })

  test('a site speaks of its own deployments only (F40)', () => {
    const foreign = attemptOf('b', 1, 'ended', 'succeeded')
    const folded = foldReports([report('a', 1, progress(foreign)), report('a', 2, hello(2, foreign)), report('a', 3, rejected('expired', { deployment: foreign.deployment, attempt: 1 }))])
    expect(folded.attempts).toEqual([])
  })

  test.each([
    ['release-refused', 'failed'],
    ['expired', 'not-started'],
    ['wrong-boot', 'not-started'],
    ['clock-untrusted', 'not-started'],
    ['unknown-desired', 'not-started'],
    ['stale', null],
    ['already-done', null],
  ])('a grant refused as %s ends its attempt as %s', (reason, event) => {
    const folded = foldReports([report('a', 1, rejected(reason, { deployment: `${rollout}:a`, attempt: 1 }))])
    expect(folded.attempts[0]?.event ?? null).toBe(event)
    expect(folded.alarms).toEqual([])
  })

  test.each(['bad-signature', 'malformed', 'wrong-site', 'retained'])('a directive refused as %s raises an alarm: somebody else may be speaking (F37, F38)', (reason) => {
    const folded = foldReports([report('a', 1, rejected(reason, { deployment: `${rollout}:a`, attempt: 1 }))])
    expect(folded.alarms).toMatchObject([{ site: 'a', alarmId: alarmIds.forgedDirective, entity: reason, raised: true }])
    expect(folded.attempts).toEqual([])
  })

  test('goodbyes of several connections stand side by side: which counts is for the row to say (I10, F46)', () => {
    const gone = (seq: number, connection: string) => report('a', seq, { kind: 'gone', connectionId: connection.repeat(32) })
    expect(foldReports([gone(1, '1'), gone(2, '2'), gone(3, '1')]).goodbyes.map(({ connectionId, seq }) => [connectionId[0], seq]).sort()).toEqual([['1', 3], ['2', 2]])
  })
})
