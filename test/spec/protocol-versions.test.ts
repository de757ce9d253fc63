import { describe, expect, test } from 'vitest'
import { decideRollout } from '../../functions/rollout/decide.ts'
import { foldReports } from '../../functions/ingest/fold.ts'
import { rolloutHindrances, siteHindrances } from '../../functions/rollout/judge.ts'
import { AttemptReport, Greeting } from '../../protocol/reports.ts'
import { controllerProtocols, protocolsOf, standingOf } from '../../protocol/protocol-versions.ts'
import { rolloutStates } from '../../protocol/states.ts'
import { protocolRange } from '../../edge-agent/agent-version.ts'
import { candidateOf, nowMs, snapshotOf, targetOf, wanted, waveOf } from './snapshots.ts'

const update = { rolloutId: 'ro_0', name: 'two: agents first', release: 'shop@1.5.0' }
const needing = (protocolMin: number) => ({ targets: new Map([[wanted.digest, targetOf(wanted, { protocolMin })]]) })
const codes = (candidate: Parameters<typeof candidateOf>[1], snapshot = snapshotOf(needing(2))) => siteHindrances(snapshot, candidateOf('a', candidate), nowMs).map((h) => h.code)
const decided = (snapshot: ReturnType<typeof snapshotOf>) => decideRollout(snapshot, nowMs).steps.map((step) => ('siteId' in step ? `${step.kind} ${step.siteId}` : step.kind))

describe('standing', () => {
  test.each([
    [{ min: 1, max: 1 }, { min: 1, max: 2 }, 'ok'],
    [{ min: 2, max: 3 }, { min: 1, max: 2 }, 'ok'],
    [{ min: 3, max: 4 }, { min: 1, max: 2 }, 'too-new'],
    [{ min: 1, max: 1 }, { min: 2, max: 3 }, 'too-old'],
  ] as const)('an agent of %j stands to a controller of %j: %s', (agent, controller, standing) => {
    expect(standingOf(agent, controller)).toBe(standing)
  })

  test('a row from before the lower end was kept speaks from the first version on; one without a hello says nothing', () => {
    expect([protocolsOf({ protocolMin: null, protocolMax: 2 }), protocolsOf({ protocolMin: null, protocolMax: null })]).toEqual([{ min: 1, max: 2 }, null])
  })

  test('our own agent and our own controller have a version in common, and so has each with the version before', () => {
    expect(standingOf(protocolRange, controllerProtocols)).toBe('ok')
    expect(Math.min(protocolRange.min, controllerProtocols.min)).toBe(1)
  })
})

describe('a site whose agent is too old for a release', () => {
  test.each([
    ['is skipped where nothing brings a newer one', {}, ['protocol']],
    ['waits where another rollout brings one', { agentUpdate: update }, ['agent']],
    ['is parked like any other while it is offline', { agentUpdate: update, site: { presence: 'offline' } }, ['offline', 'agent']],
    ['starts once its agent is new enough, whatever brought it', { agentUpdate: update, site: { protocolMax: 2 } }, []],
    ['starts where its agent has not said yet what it speaks', { site: { protocolMin: null, protocolMax: null } }, []],
  ] as const)('%s', (_, candidate, expected) => {
    expect(codes(candidate as Parameters<typeof candidateOf>[1])).toEqual(expected)
  })

  test('is never granted, and does not count as a failure', () => {
    const base = { ...needing(2), waves: [waveOf(0, { pending: 2 })] }
    expect(decided(snapshotOf({ ...base, candidates: [candidateOf('a'), candidateOf('b', { place: 1, agentUpdate: update })] }))).toEqual(['skip a', 'defer b'])
  })

  test('says what is missing and what would help', () => {
    expect(decideRollout(snapshotOf({ ...needing(2), waves: [waveOf(0, { pending: 1 })], candidates: [candidateOf('a')] }), nowMs).steps[0]!.why).toBe(
      'shop@2.0.0 needs an agent of protocol 2, the site has 1; it takes a release that brings one and that shop@1.0.0 may go to, or an agent installed by hand',
    )
  })

  test('does not stand in the way of the rollout that brings its agent, whatever their priorities (I14)', () => {
    const main = { rolloutId: 'ro_9', name: 'main', priority: 9, createdMs: 0, inFlight: false, protocolMin: 2 }
    expect(codes({ rivals: [main] }, snapshotOf())).toEqual([])
    expect(codes({ rivals: [main], site: { protocolMax: 2 } }, snapshotOf())).toEqual(['busy'])
    expect(codes({ rivals: [{ ...main, inFlight: true }] }, snapshotOf())).toEqual(['busy'])
  })
})

describe('a site whose agent has no version in common with the controller', () => {
  const tooNew = { protocolMin: controllerProtocols.max + 1, protocolMax: controllerProtocols.max + 2 }

  test('is told nothing, and says why', () => {
    const [hindrance] = siteHindrances(snapshotOf(), candidateOf('a', { site: tooNew }), nowMs)
    expect(hindrance).toMatchObject({ code: 'no-common-protocol', text: `its agent is too new: it speaks protocol ${tooNew.protocolMin} to ${tooNew.protocolMax}, this controller 1 to ${controllerProtocols.max}` })
  })

  test('is parked at its turn, and put off when it is looked at again, so that it holds up nobody', () => {
    const wave = waveOf(0, { pending: 1, parked: 1 })
    const found = decided(snapshotOf({ waves: [wave], candidates: [candidateOf('a', { site: tooNew }), candidateOf('b', { place: 1, state: 'parked', site: tooNew }), candidateOf('c', { place: 2 })] }))
    expect(found).toEqual(['park a', 'defer b', 'grant c'])
  })
})

describe('a rollout after one that brings the agents', () => {
  const after = (state: (typeof rolloutStates)[number]) => ({ rolloutId: 'ro_0', name: 'two: agents first', state })

  test.each(rolloutStates)('while that one is %s', (state) => {
    const over = state === 'completed' || state === 'aborted' || state === 'superseded'
    const scheduled = snapshotOf({ state: 'scheduled', after: after(state) })
    expect(decided(scheduled)).toEqual(over ? ['start'] : [])
    expect(rolloutHindrances(scheduled, nowMs)[0]!.code).toBe(over ? 'scheduled' : 'agents-first')
  })

  test('does not start before its own time either, and looks again by itself', () => {
    expect(decideRollout(snapshotOf({ state: 'scheduled', startAtMs: nowMs + 1000, after: after('completed') }), nowMs)).toEqual({ steps: [], wakeMs: nowMs + 1000 })
    expect(decideRollout(snapshotOf({ state: 'scheduled', after: after('running') }), nowMs).wakeMs).toBeGreaterThan(nowMs)
  })
})

test('of the greetings of one agent the newest counts', () => {
  const greeting = (seq: number) => Greeting.parse({ v: 1, fleet: 'practice', site: 'a', incarnation: 1, bootId: 'ab'.repeat(16), seq, sentAtMs: 0, body: { kind: 'hello', connectionId: 'cd'.repeat(16), agentVersion: '9', protocol: { min: 9, max: 9 }, attempt: 'as nobody reads it' } })
  expect(foldReports([], [greeting(2), greeting(3), greeting(1)]).greetings.map(({ seq, body }) => [seq, Object.keys(body)])).toEqual([[3, ['kind', 'connectionId', 'agentVersion', 'protocol']]])
})

test('a phase that nobody knows is refused, not guessed', () => {
  const attempt = { deployment: `ro_${'0'.repeat(26)}:a`, attempt: 1, phase: 'rehearsing', outcome: null, fault: null, nodesDone: 0, nodesTotal: 0, bytesDone: 0, bytesTotal: 0, requestId: 'request-1' }
  expect(AttemptReport.safeParse(attempt).success).toBe(false)
})
