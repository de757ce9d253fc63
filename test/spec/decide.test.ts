import { describe, expect, test } from 'vitest'
import { decideRollout } from '../../functions/rollout/decide.ts'
import { groupPlacesOf, placesOf } from '../../functions/rollout/judge.ts'
import { limits } from '../../protocol/limits.ts'
import { deploymentStates, presences, rolloutStates } from '../../protocol/states.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { alarmSince, candidateOf, candidates, inFlightOf, lock, nowMs, releaseOf, running, snapshotOf, targetOf, waveOf, wanted } from './snapshots.ts'

type Snapshot = ReturnType<typeof snapshotOf>

/** Steps as short lines: `grant s1`, `openWave 1`, `pause failures`. */
function stepsOf(snapshot: Snapshot): string[] {
  return decideRollout(snapshot, nowMs).steps.map((step) => {
    if ('siteId' in step) return `${step.kind} ${step.siteId}`
    if ('ordinal' in step) return `${step.kind} ${step.ordinal}`
    return step.kind === 'pause' ? `pause ${step.reason}` : step.kind
  })
}
const decided = (draft: Parameters<typeof snapshotOf>[0]) => stepsOf(snapshotOf(draft))
/** For tests about something else than failures. */
const lenient = { failureThreshold: { value: 100 } }
const wake = (draft: Parameters<typeof snapshotOf>[0]) => decideRollout(snapshotOf(draft), nowMs).wakeMs

describe('sites flow inside a wave (I7)', () => {
  test('as many start as there are places, in the order of their places', () => {
    expect(decided({ waves: [waveOf(0, { pending: 5 })], policy: { maxParallel: 2 }, candidates: candidates(5) })).toEqual(['grant s0', 'grant s1'])
  })

  test('the next starts when one has ended, without waiting for the others', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 1, running: 1, pending: 4 })], policy: { maxParallel: 2 }, candidates: candidates(4, {}, 2) })).toEqual(['grant s2'])
  })

  test('needs-hands and sites in other waves take places too', () => {
    const waves = [waveOf(0, { succeeded: 9, 'needs-hands': 1 }), waveOf(1, { running: 1, granted: 1, pending: 2 }, {}, { state: 'open' })]
    expect(decided({ waves, policy: { maxParallel: 4, ...lenient }, candidates: candidates(2, { wave: 1 }) })).toEqual(['grant s0'])
    expect(decided({ waves, policy: { maxParallel: 3, ...lenient }, candidates: candidates(2, { wave: 1 }) })).toEqual([])
  })

  test('whoever cannot start takes no place from those behind', () => {
    const some = [candidateOf('off', { site: { presence: 'offline' } }), candidateOf('done', { site: { running: wanted } }), candidateOf('on')]
    expect(decided({ waves: [waveOf(0, { pending: 3 })], policy: { maxParallel: 1 }, candidates: some })).toEqual(['park off', 'skip done', 'grant on'])
  })

  test('a group whose places are taken is passed over, and others go on', () => {
    const some = ['n', 'n', 'n', 's', 's'].map((grp, i) => candidateOf(`${grp}${i}`, { grp, place: i }))
    const policy = { maxParallel: 10, groupBy: { label: 'region', maxParallel: 2 } }
    expect(decided({ waves: [waveOf(0, { pending: 5, running: 1 })], policy, groups: { n: { members: 4, inFlight: 1 }, s: { members: 2, inFlight: 0 } }, candidates: some })).toEqual(['grant n0', 'grant s3', 'grant s4'])
  })

  test('nobody starts in a wave that is not open', () => {
    expect(decided({ waves: [waveOf(0, { pending: 1 }), waveOf(1, { pending: 1 })], candidates: [candidateOf('b', { wave: 1 }), candidateOf('a')] })).toEqual(['grant a'])
  })

  test(`at most ${limits.stepsPerTickMax} start in one decision; the rest is looked at at once again`, () => {
    const count = limits.stepsPerTickMax + 200
    const many = { waves: [waveOf(0, { pending: count })], policy: { maxParallel: count }, candidates: candidates(count) }
    expect(decided(many)).toHaveLength(limits.stepsPerTickMax)
    expect(wake(many)).toBe(nowMs)
  })
})

describe('what keeps a site from starting', () => {
  const rival = { rolloutId: 'ro_0', name: 'other', priority: 5, createdMs: 0, inFlight: false, protocolMin: 1 }

  test.each([
    ['skips what runs it already', { site: { running: wanted } }, ['skip a']],
    ['skips what was removed', { site: { state: 'removed' } }, ['skip a']],
    ['skips what has no path', { site: { running: releaseOf('shop@9.0.0') } }, ['skip a']],
    ['parks what is offline', { site: { presence: 'offline' } }, ['park a']],
    ['parks what has no agent yet', { site: { state: 'claimed' } }, ['park a']],
    ['leaves parked what is still offline', { state: 'parked', site: { presence: 'offline' } }, []],
    ['unparks what is back, without taking a place yet', { state: 'parked' }, ['unpark a']],
    ['skips a parked site that has moved on meanwhile', { state: 'parked', site: { running: wanted } }, ['skip a']],
    ['puts off what another rollout changes (I14)', { rivals: [{ ...rival, inFlight: true }] }, ['defer a']],
    ['puts off what another rollout has the right of way at', { rivals: [rival] }, ['defer a']],
    ['does not mind a rival that comes after', { rivals: [{ ...rival, priority: -5 }] }, ['grant a']],
    ['parks what is suspect', { site: { presence: 'suspect' } }, ['park a']],
    ['puts off where somebody works', { site: { locks: [lock] } }, ['defer a']],
    ['puts off what nobody knows to be connected', { site: { presence: 'unknown' } }, ['defer a']],
  ] as const)('%s', (_, candidate, expected) => {
    expect(decided({ waves: [waveOf(0, { pending: 1 })], candidates: [candidateOf('a', candidate as Parameters<typeof candidateOf>[1])] })).toEqual(expected)
  })

  test('is put off until it ends by itself, where it does', () => {
    const frozen = candidateOf('a', { site: { freezes: [{ from: '2026-06-01', to: '2026-06-03', reason: '' }] } })
    expect(decideRollout(snapshotOf({ waves: [waveOf(0, { pending: 1 })], candidates: [frozen] }), nowMs).steps).toEqual([
      { kind: 'defer', siteId: 'a', untilMs: Date.UTC(2026, 5, 3), code: 'freeze', why: 'frozen until 2026-06-03 UTC' },
    ])
  })

  test('a return takes only sites that still run what they were moved to', () => {
    const back = (site: { running: typeof wanted }) => candidateOf('a', { to: running, returnsFrom: wanted, site })
    const snapshot = (site: { running: typeof wanted }) => ({ back: true, targets: new Map([[running.digest, targetOf(running, {}, false)]]), waves: [waveOf(0, { pending: 1 })], candidates: [back(site)] })
    expect(decided(snapshot({ running: wanted }))).toEqual(['grant a'])
    expect(decided(snapshot({ running: releaseOf('shop@3.0.0') }))).toEqual(['skip a'])
    expect(decided(snapshot({ running }))).toEqual(['skip a'])
  })
})

describe('waves (I13)', () => {
  const second = waveOf(1, { pending: 3 })

  test('the first opens at once, and is filled after it was read again', () => {
    expect(decided({ waves: [waveOf(0, { pending: 2 }, {}, { state: 'waiting' })], candidates: candidates(2) })).toEqual(['openWave 0', 'grant s0', 'grant s1'])
  })

  test('the next opens when the one before has passed its gates, and not before', () => {
    const canary = { barrier: true, successThreshold: 1 }
    expect(decided({ waves: [waveOf(0, { running: 1 }, canary), second] })).toEqual([])
    expect(decided({ waves: [waveOf(0, { succeeded: 1 }, canary), second] })).toEqual(['closeWave 0', 'openWave 1'])
  })

  test('two never open in one decision, though the first of them is empty by now', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 1 }), waveOf(1, { skipped: 2 }), waveOf(2, { pending: 1 })] })).toEqual(['closeWave 0', 'openWave 1'])
  })

  test('none opens while the rollout is paused', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 1 }), second], pauses: [{ reason: 'operator', detail: '' }] })).toEqual(['closeWave 0'])
  })

  test('a soaking wave is looked at again when it has soaked', () => {
    const waves = [waveOf(0, { succeeded: 1 }, { soak: '60s' }, { state: 'done', lastSuccessMs: nowMs - 10_000 }), second]
    expect(decideRollout(snapshotOf({ waves }), nowMs)).toEqual({ steps: [], wakeMs: nowMs + 50_000 })
  })

  test('one is done once none of its sites is unstarted or in flight, parked ones apart', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 9, parked: 1 }), waveOf(1, { running: 1 }, {}, { state: 'open' })] })).toEqual(['closeWave 0'])
    expect(decided({ waves: [waveOf(0, { succeeded: 9, 'needs-hands': 1 }), waveOf(1, { running: 1 }, {}, { state: 'open' })] })).toEqual([])
  })
})

describe('a rollout pauses by itself', () => {
  test('on too many failures in a wave, and starts nothing more in the same decision (F59)', () => {
    const waves = [waveOf(0, { failed: 1, succeeded: 4, pending: 5 })]
    expect(decided({ waves, policy: { failureThreshold: { value: '20%', minExecuted: 5 } }, candidates: candidates(5) })).toEqual(['pause failures'])
  })

  test('on too many failures over all waves', () => {
    const waves = [waveOf(0, { failed: 1, succeeded: 20 }, {}, { state: 'done' }), waveOf(1, { failed: 1, pending: 5 }, {}, { state: 'open' })]
    expect(decided({ waves, policy: { failureThreshold: { value: 2 } }, candidates: candidates(5, { wave: 1 }) })).toEqual(['pause failures'])
  })

  test('not once more while it is paused for that already', () => {
    const waves = [waveOf(0, { failed: 5, pending: 5 })]
    expect(decided({ waves, pauses: [{ reason: 'failures', detail: '' }], candidates: candidates(5) })).toEqual([])
  })

  test('when an alarm was raised at a site that it has changed, and starts nothing more in the same decision (I18, F59)', () => {
    const draft = { waves: [waveOf(0, { succeeded: 1 }, {}, { gatingAlarms: 1, alarmsSince: alarmSince }), waveOf(1, { pending: 5 }, {}, { state: 'open' })], candidates: candidates(5, { wave: 1 }) }
    expect(decided(draft)).toEqual(['pause alarm', 'closeWave 0'])
    expect(decided({ ...draft, policy: { alarmGate: false } })).toEqual(['closeWave 0', 'grant s0', 'grant s1', 'grant s2', 'grant s3', 'grant s4'])
    expect(decided({ ...draft, pauses: [{ reason: 'alarm', detail: '' }] }), 'not once more').toEqual(['closeWave 0'])
    expect(decided({ waves: [waveOf(0, { succeeded: 5 }, {}, { state: 'done', gatingAlarms: 1, alarmsSince: alarmSince })] }), 'with nobody left to start there is nothing to stop').toEqual(['complete'])
  })

  test('when the next wave could never open any more', () => {
    const waves = [waveOf(0, { failed: 1 }, { barrier: true, successThreshold: 1 }), waveOf(1, { pending: 9 })]
    expect(decided({ waves, policy: { failureThreshold: { value: 5 } } })).toEqual(['pause threshold', 'closeWave 0'])
  })

  test('when the release was withdrawn', () => {
    const withdrawn = { waves: [waveOf(0, { pending: 5 })], targets: new Map([[wanted.digest, targetOf(wanted, {}, false)]]), candidates: candidates(5) }
    expect(decided(withdrawn)).toEqual(['pause release'])
    expect(decided({ ...withdrawn, waves: [waveOf(0, { running: 5 })], candidates: [] }), 'with nothing left to start there is nothing to pause').toEqual([])
  })

  test('and goes on under failures that a person has acknowledged', () => {
    const waves = [waveOf(0, { failed: 5, succeeded: 5, pending: 1 }, {}, { failuresAcknowledged: 5, executedAcknowledged: 10 })]
    expect(decided({ waves, candidates: candidates(1) })).toEqual(['grant s0'])
  })

  test('with more acknowledged than there is (they were retried), the number falls first', () => {
    const waves = [waveOf(0, { failed: 1, succeeded: 5, pending: 4 }, {}, { failuresAcknowledged: 5, executedAcknowledged: 10 })]
    expect(decided({ waves, candidates: candidates(1) })).toEqual(['lowerAcknowledged', 'grant s0'])
  })
})

describe('silence', () => {
  test('past the end of a grant loses the site, before anything else is decided (I16)', () => {
    const snapshot = { waves: [waveOf(0, { running: 2, pending: 5 })], overdue: [{ siteId: 'x', attempt: 3 }], candidates: candidates(5) }
    expect(decideRollout(snapshotOf(snapshot), nowMs)).toEqual({ steps: [{ kind: 'loseSite', siteId: 'x', attempt: 3, why: 'silent past the end of its grant' }], wakeMs: nowMs })
  })

  test.each(rolloutStates)('is noticed in a rollout that is %s', (state) => {
    expect(decided({ state, waves: [waveOf(0, { running: 1 })], overdue: [{ siteId: 'x', attempt: 1 }] })).toEqual(['loseSite x'])
  })

  test('that is to come is what a quiet rollout wakes for', () => {
    expect(wake({ waves: [waveOf(0, { running: 1 })], nextDeadlineMs: nowMs + 7000 })).toBe(nowMs + 7000)
    expect(wake({ state: 'aborted', nextDeadlineMs: nowMs + 7000 })).toBe(nowMs + 7000)
  })
})

describe('the end', () => {
  test('comes when every site has ended', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 9, failed: 1 }, {}, { state: 'done' })] })).toEqual(['complete'])
  })

  test('does not wait for parked sites, nor for hands', () => {
    expect(decided({ waves: [waveOf(0, { succeeded: 8, parked: 1, 'needs-hands': 1 })], policy: lenient })).toEqual(['complete'])
  })

  test('does not come while a wave is shut, something runs, or a start is just decided', () => {
    expect(decided({ waves: [waveOf(0, { failed: 1 }, {}, { state: 'done' }), waveOf(1, { pending: 1 })], pauses: [{ reason: 'threshold', detail: '' }] })).toEqual([])
    expect(decided({ waves: [waveOf(0, { running: 1 })] })).toEqual([])
    expect(decided({ waves: [waveOf(0, { pending: 1 })], candidates: candidates(1) })).toEqual(['grant s0'])
  })

  test('is taken back when parked sites return or joiners come', () => {
    expect(decided({ state: 'completed', waves: [waveOf(0, { succeeded: 1, pending: 1 }, {}, { state: 'done' })], candidates: candidates(1) })).toEqual(['reopen', 'grant s0'])
    expect(decided({ state: 'completed', waves: [waveOf(0, { succeeded: 1, parked: 1 }, {}, { state: 'done' })], candidates: [candidateOf('a', { state: 'parked' })] })).toEqual(['unpark a'])
  })

  test('of waiting for parked sites comes with parkedFor', () => {
    const waves = [waveOf(0, { succeeded: 1, parked: 1 }, {}, { state: 'done' })]
    expect(decided({ state: 'completed', waves, parkedUntilMs: nowMs })).toEqual(['expireParked'])
    expect(wake({ state: 'completed', waves, parkedUntilMs: nowMs + 5000 })).toBe(nowMs + 5000)
  })

  test('leaves nothing to wake for', () => {
    expect(decideRollout(snapshotOf({ state: 'completed', waves: [waveOf(0, { succeeded: 1 }, {}, { state: 'done' })] }), nowMs)).toEqual({ steps: [], wakeMs: null })
  })
})

describe('an abort', () => {
  test('grants nothing more, and settles when nothing is in flight', () => {
    expect(decided({ state: 'aborting', waves: [waveOf(0, { running: 1, cancelled: 4 })], candidates: candidates(4) })).toEqual([])
    expect(decided({ state: 'aborting', waves: [waveOf(0, { cancelled: 5 })] })).toEqual(['settleAbort'])
  })
})

describe('a start', () => {
  test('waits for its time, and then for nothing', () => {
    expect(decideRollout(snapshotOf({ state: 'scheduled', startAtMs: nowMs + 5000, candidates: candidates(1) }), nowMs)).toEqual({ steps: [], wakeMs: nowMs + 5000 })
    expect(decided({ state: 'scheduled', startAtMs: nowMs })).toEqual(['start'])
    expect(decided({ state: 'scheduled', startAtMs: null })).toEqual(['start'])
  })
})

describe('whatever the snapshot', () => {
  /** A rollout in any condition, from one seed. */
  function randomSnapshot(seed: number): Snapshot {
    const chance = seededFractions(seed)
    const upTo = (n: number) => Math.floor(chance() * (n + 1))
    const one = <T>(of: readonly T[]): T => of[Math.min(of.length - 1, Math.floor(chance() * of.length))]!
    const groups = ['n', 's', 'w']
    const waves = Array.from({ length: 1 + upTo(3) }, (_, i) =>
      waveOf(i, Object.fromEntries(deploymentStates.map((state) => [state, chance() < 0.5 ? 0 : upTo(6)])), { successThreshold: chance(), barrier: chance() < 0.3 }, { state: one(['waiting', 'open', 'open', 'done'] as const), alarmsSince: chance() < 0.1 ? alarmSince : null }))
    const some = Array.from({ length: upTo(40) }, (_, i) =>
      candidateOf(`s${i}`, {
        wave: upTo(waves.length - 1), place: i, grp: one(groups), state: chance() < 0.2 ? 'parked' : 'pending', attempt: upTo(2), notBeforeMs: chance() < 0.1 ? nowMs + 1 : 0,
        rivals: chance() < 0.2 ? [{ rolloutId: 'ro_0', name: 'r', priority: upTo(2) - 1, createdMs: upTo(2000), inFlight: chance() < 0.5, protocolMin: 1 + upTo(2) }] : [],
        site: { locks: chance() < 0.1 ? [lock] : [], presence: one(presences), running: one([running, running, wanted, null]), state: one(['enrolled', 'enrolled', 'enrolled', 'claimed', 'removed'] as const) },
      }))
    return snapshotOf({
      state: one(rolloutStates), waves, candidates: some, pauses: chance() < 0.2 ? [{ reason: 'operator', detail: '' }] : [], startAtMs: chance() < 0.5 ? nowMs + upTo(2) - 1 : null,
      policy: { maxParallel: chance() < 0.5 ? 1 + upTo(20) : `${1 + upTo(99)}%`, groupBy: chance() < 0.5 ? { label: 'region', maxParallel: 1 + upTo(3) } : null },
      groups: Object.fromEntries(groups.map((grp) => [grp, { members: upTo(20), inFlight: upTo(4) }])),
    })
  }

  test.each(Array.from({ length: 8 }, (_, i) => i * 500))('never beyond a place, never paused, never twice, never past a gate: 500 seeds from %i (I7)', (first) => {
    for (let seed = first; seed < first + 500; seed++) {
      const snapshot = randomSnapshot(seed)
      const { steps, wakeMs } = decideRollout(snapshot, nowMs)
      const granted = steps.flatMap((step) => (step.kind === 'grant' ? [snapshot.candidates.find((c) => c.siteId === step.siteId)!] : []))
      const note = `seed ${seed}`
      if (granted.length > 0) {
        expect(inFlightOf(snapshot) + granted.length, note).toBeLessThanOrEqual(placesOf(snapshot))
        for (const grp of new Set(granted.map((c) => c.grp))) expect((snapshot.inFlightByGroup.get(grp) ?? 0) + granted.filter((c) => c.grp === grp).length, note).toBeLessThanOrEqual(groupPlacesOf(snapshot, grp))
        expect(snapshot.pauses, note).toEqual([])
        expect(snapshot.waves.some((wave) => wave.alarmsSince !== null), note).toBe(false)
        expect(steps.some((step) => step.kind === 'pause'), note).toBe(false)
        expect(['running', 'completed'], note).toContain(snapshot.state)
      }
      for (const candidate of granted) {
        const opening = steps.some((step) => step.kind === 'openWave' && step.ordinal === candidate.wave)
        expect(opening || snapshot.waves[candidate.wave]!.state !== 'waiting', note).toBe(true)
        expect([candidate.site.presence, candidate.site.state, candidate.state], note).toEqual(['online', 'enrolled', 'pending'])
        expect(candidate.rivals.some((rival) => rival.inFlight), note).toBe(false)
        expect(candidate.site.locks, note).toEqual([])
        expect(candidate.site.running?.digest, note).not.toBe(wanted.digest)
      }
      const perSite = steps.flatMap((step) => ('siteId' in step ? [step.siteId] : []))
      expect(new Set(perSite).size, note).toBe(perSite.length)
      expect(steps.every((step) => step.why.length > 0), note).toBe(true)
      expect(steps.filter((step) => step.kind === 'openWave').length, note).toBeLessThanOrEqual(1)
      expect(wakeMs === null || wakeMs >= nowMs, note).toBe(true)
      expect(decideRollout(snapshot, nowMs), note).toEqual({ steps, wakeMs })
    }
  })
})
