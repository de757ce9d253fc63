import { describe, expect, test } from 'vitest'
import type { Directive } from '../../protocol/directives.ts'
import { freshState, hold, holdRefusal, type HeldState } from '../../edge-agent/held/state.ts'
import { recordOf, type JournalRecord } from '../../edge-agent/journal/record.ts'
import { judge, judgeLife, type ClockFacts, type Identity } from '../../edge-agent/link/judge.ts'
import { aBoot, aCommand, aDesired, aGrant, aRelease } from '../support/make-directives.ts'

const identity: Identity = { fleet: 'f' as Identity['fleet'], site: 's' as Identity['site'], incarnation: 1 }
const clock: ClockFacts = { nowMs: 1_100_000, floorMs: 1_000_000, synchronised: true, bootId: aBoot, sinceHelloMs: 100_000 }
const wrongClock: ClockFacts = { ...clock, nowMs: 5000 }
const nothing = freshState(1, null)
const holding = (...directives: Directive[]): HeldState => directives.reduce(hold, nothing)
const ended = (attempt: number): JournalRecord => ({ ...recordOf(aGrant({ attempt }), { from: null, to: aRelease, back: false, batches: [], wallMs: 0 }), phase: 'ended', outcome: 'succeeded' })
const running: JournalRecord = { ...ended(1), phase: 'applying', outcome: null }
const at = (generation: number) => ({ epoch: 1, generation })

type Row = { name: string; directive: Directive; verdict: string; retained?: boolean; held?: HeldState; clock?: ClockFacts; journal?: JournalRecord }
const held = holding(aDesired())

const rows: Row[] = [
  { name: 'a desired for this site', directive: aDesired(), verdict: 'accept' },
  { name: 'a retained desired', directive: aDesired(), retained: true, verdict: 'accept' },
  { name: 'a directive of another fleet', directive: aDesired({ fleet: 'g' as Identity['fleet'] }), verdict: 'wrong-site' },
  { name: 'a directive for another site', directive: aDesired({ site: 't' as Identity['site'] }), verdict: 'wrong-site' },
  { name: 'a directive for another incarnation (F31)', directive: aDesired({ incarnation: 2 }), verdict: 'wrong-site' },
  { name: 'a retained grant (F38)', directive: aGrant(), retained: true, held, verdict: 'retained' },
  { name: 'a retained command (F38)', directive: aCommand(), retained: true, verdict: 'retained' },
  { name: 'a retained grant that is stale as well: the first step counts', directive: aGrant({ position: at(1) }), retained: true, held: holding(aDesired(), aGrant()), verdict: 'retained' },
  { name: 'an older desired than the one held (F36)', directive: aDesired({ position: at(9) }), held, verdict: 'stale' },
  { name: 'a desired of an older epoch, however high its generation (F58)', directive: aDesired({ position: { epoch: 0, generation: 99 } }), held, verdict: 'stale' },
  { name: 'a desired of a newer epoch, however low its generation', directive: aDesired({ position: { epoch: 2, generation: 0 } }), held, verdict: 'accept' },
  { name: 'the same desired again (F36)', directive: aDesired(), held, verdict: 'repeat' },
  { name: 'an expired grant that is held already: a repeat comes before its life', directive: aGrant({ startByMs: 1_000_001 }), held: holding(aDesired(), aGrant()), verdict: 'repeat' },
  { name: 'a grant older than a command: each kind has its own order', directive: aGrant(), held: holding(aDesired(), aCommand({ position: at(50) })), verdict: 'accept' },
  { name: 'a grant in its time', directive: aGrant(), held, verdict: 'accept' },
  { name: 'a grant for another boot, by a clock that is right', directive: aGrant({ bootId: 'c'.repeat(32) as typeof aBoot }), held, verdict: 'accept' },
  { name: 'a grant after its time (F37)', directive: aGrant({ startByMs: 1_099_999 }), held, verdict: 'expired' },
  { name: 'a late copy of a grant that was refused by a clock that was wrong then (I6)', directive: aGrant(), held: holdRefusal(held, aGrant().position), verdict: 'expired' },
  { name: 'the next grant after one that was refused', directive: aGrant({ position: at(99) }), held: holdRefusal(held, aGrant().position), verdict: 'accept' },
  { name: 'a command after its time (F37)', directive: aCommand({ expiresAtMs: 1_099_999 }), verdict: 'expired' },
  { name: 'a command in its time', directive: aCommand(), verdict: 'accept' },
  { name: 'a grant to a clock in 1970 that echoes this boot (F30)', directive: aGrant(), held, clock: wrongClock, verdict: 'accept' },
  { name: 'a grant to a clock in 1970 for another boot (F30)', directive: aGrant({ bootId: 'c'.repeat(32) as typeof aBoot }), held, clock: wrongClock, verdict: 'wrong-boot' },
  { name: 'a grant to a clock in 1970, longer after the hello than it lives (F30)', directive: aGrant(), held, clock: { ...wrongClock, sinceHelloMs: 600_000 }, verdict: 'expired' },
  { name: 'a grant to a clock in 1970 before any hello (F30)', directive: aGrant(), held, clock: { ...wrongClock, sinceHelloMs: null }, verdict: 'clock-untrusted' },
  { name: 'a command without a boot to a clock in 1970 (F30)', directive: aCommand({ bootId: null }), clock: wrongClock, verdict: 'clock-untrusted' },
  { name: 'a grant to a clock that says itself it is not synchronised', directive: aGrant({ bootId: 'c'.repeat(32) as typeof aBoot }), held, clock: { ...clock, synchronised: false }, verdict: 'wrong-boot' },
  { name: 'a desired to a clock in 1970', directive: aDesired(), clock: wrongClock, verdict: 'accept' },
  { name: 'a grant whose own time of issue shows that the clock is behind, with no floor yet (F30)', directive: aGrant({ bootId: 'c'.repeat(32) as typeof aBoot }), held, clock: { ...wrongClock, floorMs: 0 }, verdict: 'wrong-boot' },
  { name: 'a grant to a clock years ahead (F30)', directive: aGrant(), held, clock: { ...clock, nowMs: 1_100_000 + 3e11 }, verdict: 'expired' },
  { name: 'a grant that is ahead of its desired', directive: aGrant({ desired: at(13) }), held, verdict: 'wait' },
  { name: 'a grant before any desired', directive: aGrant(), verdict: 'wait' },
  { name: 'a grant for a desired that was replaced', directive: aGrant({ desired: at(9) }), held, verdict: 'stale' },
  { name: 'a grant for a desired that wants nothing changed', directive: aGrant(), held: holding(aDesired({ release: null })), verdict: 'unknown-desired' },
  { name: 'a grant for another deployment than its desired', directive: aGrant(), held: holding(aDesired({ deployment: null })), verdict: 'unknown-deployment' },
  { name: 'a grant for the attempt that is running', directive: aGrant(), held, journal: running, verdict: 'repeat' },
  { name: 'a grant for an attempt that has ended', directive: aGrant(), held, journal: ended(1), verdict: 'already-done' },
  { name: 'an expired grant for the attempt that is running: it was made, whatever the clock says (I9)', directive: aGrant({ startByMs: 1_000_001 }), held, journal: running, verdict: 'repeat' },
  { name: 'an expired grant for an attempt that has ended (I9)', directive: aGrant({ startByMs: 1_000_001 }), held, journal: ended(1), verdict: 'already-done' },
  { name: 'a grant for an attempt before the one that has ended', directive: aGrant(), held, journal: ended(2), verdict: 'already-done' },
  { name: 'a grant for the attempt after the one that has ended', directive: aGrant({ attempt: 2 }), held, journal: ended(1), verdict: 'accept' },
]

describe('a directive is judged in the order of SPEC §3.1', () => {
  test.each(rows)('$name → $verdict', (row) => {
    const verdict = judge(row.directive, row.retained ?? false, row.held ?? nothing, row.clock ?? clock, identity, row.journal ?? null)
    expect(verdict.kind === 'refuse' ? verdict.reason : verdict.kind).toBe(row.verdict)
    if (verdict.kind === 'refuse') expect(verdict.detail).not.toBe('')
  })

  test('a grant lives up to and including its last moment (I6)', () => {
    const life = { issuedAtMs: 1_000_000, endsAtMs: 1_600_000, bootId: aBoot }
    expect(judgeLife(life, { ...clock, nowMs: 1_600_000 })).toBeNull()
    expect(judgeLife(life, { ...clock, nowMs: 1_600_001 })?.reason).toBe('expired')
  })
})
