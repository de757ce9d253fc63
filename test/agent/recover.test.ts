import { describe, expect, test } from 'vitest'
import { afterFailure, afterStep, decideAbort, decideStep, goBack, type StepFacts } from '../../edge-agent/apply/decide.ts'
import { decideWork } from '../../edge-agent/apply/decide-work.ts'
import { planBatches } from '../../edge-agent/apply/plan-batches.ts'
import { freshState, hold } from '../../edge-agent/held/state.ts'
import { recordOf, type JournalRecord } from '../../edge-agent/journal/record.ts'
import { recover } from '../../edge-agent/journal/recover.ts'
import type { CommandBody } from '../../protocol/directives.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { journalPhases } from '../../protocol/states.ts'
import { aCommand, aDeployment, aDesired, aGrant, aRelease } from '../support/make-directives.ts'

const batches = [['n1'], ['n2'], ['n3']] as NodeName[][]
const record = (more: Partial<JournalRecord> = {}): JournalRecord => ({ ...recordOf(aGrant(), { from: null, to: aRelease, back: false, batches, wallMs: 0 }), ...more })
const facts: StepFacts = { grantGood: true, elapsedMs: 0, abort: null, reversible: true }
const limits = { journalStartsMax: 5 }
const fault = { code: 'x', detail: 'y' }

describe('what an agent that starts does with the record it finds (SPEC §4.3)', () => {
  const expected = { accepted: 'continue', staging: 'continue', applying: 'continue', verifying: 'continue', committing: 'forward', 'rolling-back': 'back', ended: 'nothing' } as const
  test.each(journalPhases)('killed while %s', (phase) => {
    expect(recover(record({ phase }), { awayMs: 0 }, limits).kind).toBe(expected[phase])
  })

  test('nothing in the journal is nothing to do', () => {
    expect(recover(null, { awayMs: 0 }, limits)).toEqual({ kind: 'nothing' })
  })

  test.each(['applying', 'verifying'] as const)('the %s that kills the agent again and again is turned back (F24)', (phase) => {
    let found = record({ phase, batch: 1 })
    for (let start = 1; start <= limits.journalStartsMax; start++) {
      const recovery = recover(found, { awayMs: 0 }, limits)
      expect(recovery.kind, `start ${start}`).toBe('continue')
      found = (recovery as { record: JournalRecord }).record
    }
    const last = recover(found, { awayMs: 0 }, limits)
    expect(last).toMatchObject({ kind: 'back', record: { phase: 'rolling-back', ending: 'rolled-back', starts: 0, fault: { code: 'crash-loop' } } })
  })

  test('going back that kills the agent again and again needs hands (F26)', () => {
    const last = recover(record({ phase: 'rolling-back', batch: 1, starts: 5 }), { awayMs: 0 }, limits)
    expect(last).toMatchObject({ kind: 'end', record: { phase: 'ended', outcome: 'needs-hands' } })
  })

  test('a commit is never turned back, however often it was started', () => {
    expect(recover(record({ phase: 'committing', starts: 1000 }), { awayMs: 0 }, limits).kind).toBe('forward')
  })

  test('the time between two lives counts once staging has begun, and never backwards (F30)', () => {
    const after = (phase: JournalRecord['phase'], awayMs: number) => (recover(record({ phase, elapsedMs: 100 }), { awayMs }, limits) as { record: JournalRecord }).record.elapsedMs
    expect([after('staging', 50), after('applying', -50), after('accepted', 50)]).toEqual([150, 100, 100])
  })
})

describe('the next step of an attempt', () => {
  test('goes from the grant to the commit, batch by batch', () => {
    const seen: string[] = []
    let now = record()
    for (let decision = decideStep(now, facts); decision.kind !== 'done'; decision = decideStep(now, facts)) {
      if (decision.kind === 'do') seen.push(decision.step.kind + ('batch' in decision.step ? ` ${decision.step.batch}` : ''))
      now = decision.kind === 'move' ? decision.record : afterStep(now, decision.step)
    }
    expect(seen).toEqual(['stage', 'apply 0', 'apply 1', 'apply 2', 'verify', 'commit'])
    expect(now.outcome).toBe('succeeded')
  })

  test('goes back over every batch that was touched, the last first, and no other', () => {
    const seen: string[] = []
    let now = afterFailure(record({ phase: 'applying', batch: 1 }), { kind: 'apply', batch: 1 }, fault)
    for (let decision = decideStep(now, facts); decision.kind === 'do'; decision = decideStep(now, facts)) {
      seen.push(decision.step.kind + ('batch' in decision.step ? ` ${decision.step.batch}` : ''))
      now = afterStep(now, decision.step)
    }
    expect(seen).toEqual(['roll-back 1', 'roll-back 0', 'clean'])
    expect(now).toMatchObject({ outcome: 'rolled-back', fault })
  })

  test('ends failed where nothing in effect was changed', () => {
    const back = afterFailure(record({ phase: 'staging' }), { kind: 'stage' }, fault)
    expect(decideStep(back, facts)).toMatchObject({ kind: 'do', step: { kind: 'clean' } })
    expect(afterStep(back, { kind: 'clean' }).outcome).toBe('failed')
  })

  test('needs hands when one batch cannot be restored, after trying the others (F26)', () => {
    let now = goBack(record({ phase: 'verifying', batch: 3 }), 'failure', fault)
    now = afterFailure(now, { kind: 'roll-back', batch: 2 }, { code: 'stuck', detail: '' })
    expect(decideStep(now, facts)).toMatchObject({ step: { kind: 'roll-back', batch: 1 } })
    now = afterStep(afterStep(now, { kind: 'roll-back', batch: 1 }), { kind: 'roll-back', batch: 0 })
    expect(afterStep(now, { kind: 'clean' })).toMatchObject({ outcome: 'needs-hands', fault: { code: 'stuck' } })
  })

  test('a grant that has ended starts nothing (I6)', () => {
    expect(decideStep(record(), { ...facts, grantGood: false })).toMatchObject({ kind: 'move', record: { phase: 'ended', outcome: 'not-started' } })
  })

  test.each(['staging', 'applying', 'verifying'] as const)('the deadline turns %s back (F33)', (phase) => {
    expect(decideStep(record({ phase }), { ...facts, elapsedMs: 3_600_000 })).toMatchObject({ kind: 'move', record: { phase: 'rolling-back', ending: 'timed-out' } })
  })

  test.each(['committing', 'rolling-back'] as const)('the deadline does not touch %s', (phase) => {
    expect(decideStep(record({ phase, batch: 1 }), { ...facts, elapsedMs: 9e9 }).kind).toBe('do')
  })

  test('a commit that fails is taken again', () => {
    const again = afterFailure(record({ phase: 'committing' }), { kind: 'commit' }, fault)
    expect(decideStep(again, facts)).toMatchObject({ kind: 'do', step: { kind: 'commit' } })
  })
})

describe('an abort (SPEC §4.3)', () => {
  const rows = [
    ['accepted', 'safe-point', true, 'done', true], ['accepted', 'revert', true, 'done', true],
    ['staging', 'safe-point', true, 'done', true], ['staging', 'revert', true, 'done', true],
    ['applying', 'safe-point', true, 'nothing-to-do', false], ['applying', 'revert', true, 'done', true], ['applying', 'revert', false, 'refused', false],
    ['verifying', 'safe-point', true, 'nothing-to-do', false], ['verifying', 'revert', true, 'done', true], ['verifying', 'revert', false, 'refused', false],
    ['committing', 'safe-point', true, 'nothing-to-do', false], ['committing', 'revert', true, 'refused', false],
    ['rolling-back', 'safe-point', true, 'nothing-to-do', false], ['rolling-back', 'revert', true, 'nothing-to-do', false],
    ['ended', 'safe-point', true, 'nothing-to-do', false], ['ended', 'revert', true, 'nothing-to-do', false],
  ] as const
  test.each(rows)('%s, %s, reversible %s → %s', (phase, mode, reversible, result, goesBack) => {
    expect(decideAbort(record({ phase }), mode, reversible)).toMatchObject({ result, goesBack })
    const decision = decideStep(record({ phase, batch: 1 }), { ...facts, abort: mode, reversible })
    const aborted = decision.kind === 'move' && decision.record.ending === 'aborted'
    expect(aborted).toBe(goesBack)
  })

  test('is answered as done by the life after the one that turned back', () => {
    expect(decideAbort(record({ phase: 'rolling-back', ending: 'aborted' }), 'revert', true).result).toBe('done')
  })
})

describe('what an agent turns to next', () => {
  const held = [aDesired(), aGrant()].reduce(hold, freshState(1, null))
  const idle = { aheadDone: null, fenced: false }
  const abort: CommandBody = { type: 'abort', deployment: aDeployment, attempt: 1, mode: 'safe-point' }

  test('nothing, as long as there is no grant: two hundred parked sites do not start (I6)', () => {
    expect(decideWork(hold(freshState(1, null), aDesired()), null, idle)).toEqual({ kind: 'idle' })
  })
  test('the attempt a grant permits', () => {
    expect(decideWork(held, null, idle)).toMatchObject({ kind: 'begin', release: aRelease })
  })
  test('nothing while the desired of the grant has not come', () => {
    expect(decideWork(hold(freshState(1, null), aGrant()), null, idle)).toEqual({ kind: 'idle' })
  })
  test('an end without a beginning when the desired has moved on', () => {
    expect(decideWork(hold(held, aDesired({ position: { epoch: 1, generation: 20 } })), null, idle)).toMatchObject({ kind: 'end-unbegun', outcome: 'not-started' })
  })
  test('an abort that overtook its grant keeps it from beginning (F36)', () => {
    expect(decideWork(hold(held, aCommand({ body: abort })), null, idle)).toMatchObject({ kind: 'end-unbegun', outcome: 'aborted' })
  })
  test('nothing more about an attempt that is over', () => {
    expect(decideWork(held, record({ phase: 'ended', outcome: 'failed' }), idle)).toEqual({ kind: 'idle' })
  })
  test('the attempt in the journal before anything else, also when fenced', () => {
    expect(decideWork(held, record({ phase: 'applying' }), { ...idle, fenced: true })).toEqual({ kind: 'run' })
  })
  test('nothing new once it is fenced (F31)', () => {
    expect(decideWork(held, null, { ...idle, fenced: true })).toEqual({ kind: 'idle' })
  })
  test('staging ahead, once per desired', () => {
    const ahead = hold(freshState(1, null), aDesired({ staging: 'ahead' }))
    expect(decideWork(ahead, null, idle).kind).toBe('stage-ahead')
    expect(decideWork(ahead, null, { ...idle, aheadDone: aDesired().position })).toEqual({ kind: 'idle' })
    expect(decideWork({ ...ahead, running: aRelease }, null, idle)).toEqual({ kind: 'idle' })
  })
})

describe('the batches of a site', () => {
  const node = (name: string, personality: 'controller' | 'worker', hasAgent = false) => ({ name: name as NodeName, personality, root: `/${name}`, hasAgent })
  test('the node of the agent comes last and alone', () => {
    expect(planBatches([node('a', 'worker', true), node('b', 'worker'), node('c', 'worker')], 5)).toEqual([['b', 'c'], ['a']])
  })
  test('never more controllers at once than leave a majority up (F27)', () => {
    const five = ['a', 'b', 'c', 'd', 'e'].map((name) => node(name, 'controller', name === 'e'))
    expect(planBatches(five, 5)).toEqual([['a', 'b'], ['c', 'd'], ['e']])
    expect(planBatches(five.slice(2), 5)).toEqual([['c'], ['d'], ['e']])
  })
  test('never more nodes at once than allowed', () => {
    expect(planBatches([node('a', 'worker'), node('b', 'worker'), node('c', 'worker', true)], 1)).toEqual([['a'], ['b'], ['c']])
  })
})
