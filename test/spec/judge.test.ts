import { describe, expect, test } from 'vitest'
import { alarmEvidence, failureEvidence, fitness, groupPlacesOf, openingHindrances, placesOf, precedes, rolloutHindrances, siteHindrances, thresholdReachable } from '../../functions/rollout/judge.ts'
import type { Rival } from '../../functions/rollout/snapshot.ts'
import { alarmSince, candidateOf, lock, nowMs, releaseOf, running, siteOf, snapshotOf, targetOf, waveOf, wanted } from './snapshots.ts'

const barrier = { barrier: true, successThreshold: 1 }
const soak = { successThreshold: 1, soak: '1h' }

describe('the opening rule (I13)', () => {
  test.each([
    // what, tally, wave policy, wave facts, codes in their order
    ['every member succeeded', { succeeded: 10 }, {}, {}, []],
    ['nine of ten are enough by default', { succeeded: 9, failed: 1 }, {}, {}, []],
    ['eight of ten are not', { succeeded: 8, failed: 2 }, {}, {}, ['threshold']],
    ['the number needed is rounded up', { succeeded: 9, failed: 2 }, {}, {}, ['threshold']],
    ['in flight counts as not succeeded', { succeeded: 8, running: 1, granted: 1 }, {}, {}, ['threshold']],
    ['who flows need not have ended', { succeeded: 9, running: 1 }, {}, {}, []],
    ['an unstarted member holds the wave', { succeeded: 9, pending: 1 }, {}, {}, ['unstarted']],
    ['parked members are outside the count', { succeeded: 9, parked: 5, failed: 1 }, {}, {}, []],
    ['skipped and superseded ones too', { succeeded: 1, skipped: 9, superseded: 5 }, {}, {}, []],
    ['cancelled ones are inside', { succeeded: 8, cancelled: 2 }, {}, {}, ['threshold']],
    ['lost ones are inside', { succeeded: 8, unknown: 2 }, {}, {}, ['threshold']],
    ['needs-hands counts as in flight and not as success', { succeeded: 8, 'needs-hands': 2 }, {}, {}, ['threshold']],
    ['somebody must have succeeded, though the threshold is nought', { failed: 3 }, { successThreshold: 0 }, {}, ['no-success']],
    ['one that did is enough then', { succeeded: 1, failed: 30 }, { successThreshold: 0 }, {}, []],
    ['a wave that is parked altogether does not open the next', { parked: 3 }, {}, {}, ['no-success']],
    ['a wave of which nobody is left proves nothing', { skipped: 3 }, {}, {}, ['no-success']],
    ['unless a person lets it pass', { skipped: 3 }, {}, { approvedBy: 'token:test' }, []],
    ['a gating alarm on a site it touched holds it', { succeeded: 10 }, {}, { gatingAlarms: 1 }, ['alarm']],
    ['a barrier waits for the end of every member', { succeeded: 9, running: 1 }, { barrier: true }, {}, ['in-flight']],
    ['needs-hands has not ended for a barrier', { succeeded: 9, 'needs-hands': 1 }, { barrier: true }, {}, ['in-flight']],
    ['a canary that failed stops it (F59)', { failed: 1 }, barrier, {}, ['threshold']],
    ['a canary that rolled back, or timed out, stops it', { 'rolled-back': 1 }, barrier, {}, ['threshold']],
    ['a canary in flight', { running: 1 }, barrier, {}, ['threshold', 'in-flight']],
    ['a canary that succeeded', { succeeded: 1 }, barrier, {}, []],
    ['soaking', { succeeded: 1 }, soak, { lastSuccessMs: nowMs - 3_599_999 }, ['soak']],
    ['soaked', { succeeded: 1 }, soak, { lastSuccessMs: nowMs - 3_600_000 }, []],
    ['approval is missing', { succeeded: 1 }, { approval: true }, {}, ['approval']],
    ['approval is there', { succeeded: 1 }, { approval: true }, { approvedBy: 'ann' }, []],
    ['everything at once', { succeeded: 1, pending: 1, running: 1 }, { ...soak, approval: true }, { lastSuccessMs: nowMs, gatingAlarms: 2 }, ['unstarted', 'threshold', 'alarm', 'in-flight', 'soak', 'approval']],
  ] as const)('%s', (_, tally, policy, facts, codes) => {
    expect(openingHindrances(waveOf(0, tally, policy, facts), true, nowMs).map((h) => h.code)).toEqual(codes)
  })

  test('alarms do not hold a rollout whose policy does not ask for it', () => {
    expect(openingHindrances(waveOf(0, { succeeded: 1 }, {}, { gatingAlarms: 1 }), false, nowMs)).toEqual([])
  })

  test('each hindrance says when or by whom it ends', () => {
    const wave = waveOf(0, { succeeded: 1, running: 1 }, { ...soak, approval: true }, { lastSuccessMs: nowMs - 1000, gatingAlarms: 1 })
    const found = openingHindrances(wave, true, nowMs)
    expect(found.find((h) => h.code === 'soak')?.untilMs).toBe(nowMs + 3_599_000)
    expect(found.find((h) => h.code === 'approval')?.by).toContain('murmur rollout approve')
    expect(found.find((h) => h.code === 'threshold')?.by).toBe('sites that succeed')
  })

  test.each([
    [{ succeeded: 8, failed: 2 }, false],
    [{ succeeded: 8, failed: 1, running: 1 }, true],
    [{ succeeded: 8, failed: 1, pending: 1 }, true],
    [{ succeeded: 8, failed: 1, 'needs-hands': 1 }, false],
    [{ failed: 1, parked: 10 }, false],
    [{ parked: 10 }, true],
  ] as const)('the threshold of %j can still be reached: %s', (tally, reachable) => {
    expect(thresholdReachable(waveOf(0, tally))).toBe(reachable)
  })
})

describe('fitness', () => {
  const target = targetOf(wanted)
  const of = (site: Parameters<typeof siteOf>[1], to: typeof wanted | null = wanted, facts: ReturnType<typeof targetOf> | undefined = target, returnsFrom: typeof wanted | null = null) =>
    fitness(siteOf('a', site), to, facts, returnsFrom)?.code ?? null

  test.each([
    ['a site that can take it', of({}), null],
    ['a site that was removed (F60)', of({ state: 'removed' }), 'removed'],
    ['a site that runs it already', of({ running: wanted }), 'already-there'],
    ['the same name with other bytes is another release', of({ running: { ...wanted, digest: running.digest } }), null],
    ['a newer site', of({ running: releaseOf('shop@3.0.0') }), 'no-path'],
    ['a site of another product (F2)', of({ running: releaseOf('pump@1.0.0') }), 'no-path'],
    ['another architecture (F2)', of({ architecture: 'aarch64' }, wanted, targetOf(wanted, { architectures: ['x86_64'] })), 'architecture'],
    ['an architecture that is not known yet', of({ architecture: null }, wanted, targetOf(wanted, { architectures: ['x86_64'] })), null],
    ['an agent that is too old', of({ protocolMax: 1 }, wanted, targetOf(wanted, { protocolMin: 2 })), 'protocol'],
    ['a release that is not known here', fitness(siteOf('a'), wanted, undefined, null)?.code, 'no-path'],
    ['nothing to return to', of({}, null), 'moved-on'],
    ['a return although it would be a downgrade (I4)', of({ running: wanted }, running, targetOf(running), wanted), null],
    ['a return of a site that has moved on', of({ running: releaseOf('shop@3.0.0') }, running, targetOf(running), wanted), 'moved-on'],
    ['a return of a site that has returned already', of({ running }, running, targetOf(running), wanted), 'already-there'],
  ])('%s', (_, actual, expected) => {
    expect(actual).toBe(expected)
  })
})

describe('rivals for one site (I14)', () => {
  const own = { id: 'ro_5', priority: 0, createdMs: 1000 }
  const rival = (changes: Partial<Rival>): Rival => ({ rolloutId: 'ro_9', name: 'other', priority: 0, createdMs: 2000, inFlight: false, protocolMin: 1, ...changes })

  test.each([
    ['in flight, whatever its rank', { inFlight: true, priority: -5 }, true],
    ['higher priority', { priority: 1 }, true],
    ['lower priority, though older', { priority: -1, createdMs: 0 }, false],
    ['older', { createdMs: 999 }, true],
    ['younger', { createdMs: 1001 }, false],
    ['as old, with a smaller id', { createdMs: 1000, rolloutId: 'ro_1' }, true],
    ['as old, with a greater id', { createdMs: 1000, rolloutId: 'ro_9' }, false],
  ])('%s goes first: %s', (_, changes, expected) => {
    expect(precedes(rival(changes), own)).toBe(expected)
  })

  test('of two, exactly one goes first', () => {
    const ranks = [[0, 1, 'a'], [0, 1, 'b'], [1, 1, 'a'], [0, 2, 'a'], [1, 0, 'c']].map(([priority, createdMs, id]) => ({ priority: priority as number, createdMs: createdMs as number, id: id as string }))
    for (const a of ranks) for (const b of ranks) if (a !== b) expect(precedes(rival({ ...a, rolloutId: a.id }), b)).not.toBe(precedes(rival({ ...b, rolloutId: b.id }), a))
  })
})

describe('why a site cannot start now', () => {
  const codes = (candidate: Parameters<typeof candidateOf>[1], snapshot = snapshotOf()) => siteHindrances(snapshot, candidateOf('a', candidate), nowMs).map((h) => h.code)
  const rival = { rolloutId: 'ro_0', name: 'other', priority: 5, createdMs: 0, inFlight: false, protocolMin: 1 }

  test.each([
    ['nothing', {}, []],
    ['offline', { site: { presence: 'offline' } }, ['offline']],
    ['presence is not known', { site: { presence: 'unknown' } }, ['presence']],
    ['suspect counts as offline', { site: { presence: 'suspect' } }, ['offline']],
    ['somebody works there', { site: { locks: [lock] } }, ['locked']],
    ['no agent yet', { site: { state: 'claimed', presence: 'offline' } }, ['not-enrolled']],
    ['a retry that is not due', { attempt: 1, notBeforeMs: nowMs + 1 }, ['retry-wait']],
    ['a rival with a higher priority', { rivals: [rival] }, ['busy']],
    ['a rival in flight hides everything else', { rivals: [{ ...rival, inFlight: true, priority: -9 }], site: { presence: 'offline', state: 'removed' } }, ['busy']],
    ['what is for good hides what passes', { site: { presence: 'offline', running: wanted } }, ['already-there']],
    ['all that passes, in order', { attempt: 1, notBeforeMs: nowMs + 1, rivals: [rival], site: { presence: 'offline', windows: [{ cron: '0 2 * * *', duration: 1000 }] } }, ['retry-wait', 'busy', 'offline', 'window']],
  ] as const)('%s', (_, candidate, expected) => {
    expect(codes(candidate as Parameters<typeof candidateOf>[1])).toEqual(expected)
  })
})

describe('places (I7)', () => {
  test('a share of all members of all waves, at least one', () => {
    const waves = [waveOf(0, { succeeded: 5 }), waveOf(1, { pending: 20, skipped: 4 })]
    expect(placesOf(snapshotOf({ waves, policy: { maxParallel: '10%' } }))).toBe(2)
    expect(placesOf(snapshotOf({ waves, policy: { maxParallel: '1%' } }))).toBe(1)
  })

  test('in a group a share of its members; without groups no limit', () => {
    const groups = { north: { members: 10, inFlight: 0 } }
    const grouped = snapshotOf({ policy: { groupBy: { label: 'region', maxParallel: '25%' } }, groups })
    expect([groupPlacesOf(grouped, 'north'), groupPlacesOf(grouped, 'nobody'), groupPlacesOf(snapshotOf({ groups }), 'north')]).toEqual([2, 1, Number.POSITIVE_INFINITY])
  })
})

test('the evidence of alarms names the first and counts the others (I18)', () => {
  const waves = [waveOf(0, { succeeded: 1 }, {}, { alarmsSince: alarmSince }), waveOf(1, { running: 2 }, {}, { alarmsSince: { ...alarmSince, count: 2 } })]
  expect(alarmEvidence(snapshotOf({ waves: waves.slice(0, 1) }))).toBe('critical alarm 120.003 (node=a.component=app) at s0: it does not answer')
  expect(alarmEvidence(snapshotOf({ waves }))).toBe('critical alarm 120.003 (node=a.component=app) at s0 and 2 more: it does not answer')
  expect(alarmEvidence(snapshotOf({ waves, policy: { alarmGate: false } }))).toBeNull()
  expect(alarmEvidence(snapshotOf({ waves: [waveOf(0, {}, {}, { alarmsSince: { count: 1, first: { ...alarmSince.first, text: 'x'.repeat(500) } } })] }))).toHaveLength(500)
})

describe('failures', () => {
  const evidence = (tally: Record<string, number>, failureThreshold: Record<string, unknown>, facts = {}) => failureEvidence(snapshotOf({ waves: [waveOf(0, tally, {}, facts)], policy: { failureThreshold } }))

  test.each([
    ['none', { succeeded: 100 }, { value: 1 }, false],
    ['a number is reached', { failed: 2 }, { value: 2 }, true],
    ['a number is not reached', { failed: 1 }, { value: 2 }, false],
    ['every way to fail counts', { failed: 1, 'rolled-back': 1, 'timed-out': 1, unknown: 1, 'needs-hands': 1 }, { value: 5 }, true],
    ['cancelled and skipped do not', { cancelled: 5, skipped: 5, superseded: 5 }, { value: 1 }, false],
    ['a share before enough have ended', { failed: 4 }, { value: '10%', minExecuted: 5 }, false],
    ['a share once enough have ended', { failed: 1, succeeded: 9 }, { value: '10%', minExecuted: 5 }, true],
    ['a share that is not reached', { failed: 1, succeeded: 10 }, { value: '10%', minExecuted: 5 }, false],
  ])('%s: pauses %s', (_, tally, threshold, pauses) => {
    expect(evidence(tally, threshold) !== null).toBe(pauses)
  })

  test('that were acknowledged count no more; later ones do', () => {
    const threshold = { value: '10%', minExecuted: 5 }
    expect(evidence({ failed: 3, succeeded: 7 }, threshold, { failuresAcknowledged: 3, executedAcknowledged: 10 })).toBeNull()
    expect(evidence({ failed: 4, succeeded: 7 }, threshold, { failuresAcknowledged: 3, executedAcknowledged: 10 })).toBeNull()
    expect(evidence({ failed: 4, succeeded: 11 }, threshold, { failuresAcknowledged: 3, executedAcknowledged: 10 })).toBe('1 of 5 sites that ended in wave w0 failed; the limit is 10% once 5 have ended')
  })

  test('are counted per wave, and over the whole rollout', () => {
    const waves = [waveOf(0, { failed: 1 }), waveOf(1, { failed: 1 })]
    expect(failureEvidence(snapshotOf({ waves, policy: { failureThreshold: { value: 2 } } }))).toContain('the rollout')
  })
})

describe('why no site may start', () => {
  test.each([
    ['running', {}, []],
    ['scheduled', { startAtMs: nowMs + 5 }, ['scheduled']],
    ['aborting', {}, ['aborted']],
    ['aborted', {}, ['aborted']],
    ['superseded', {}, ['superseded']],
    ['running', { pauses: [{ reason: 'operator', detail: 'lunch' }, { reason: 'failures', detail: 'many' }] }, ['paused', 'paused']],
  ] as const)('a rollout that is %s %j', (state, changes, codes) => {
    expect(rolloutHindrances(snapshotOf({ state, ...changes }), nowMs).map((h) => h.code)).toEqual(codes)
  })
})
