import type { Desired, Grant } from '../../protocol/directives.ts'
import { comparePositions, type Position, type ReleaseRef } from '../../protocol/ids.ts'
import type { AbortCommand, HeldState } from '../held/state.ts'
import { isAttempt, type JournalRecord } from '../journal/record.ts'

export type WorkFacts = {
  /** Position of the desired that was staged ahead, or could not be, in this boot. */
  aheadDone: Position | null
  /** The controller knows a newer incarnation: nothing new is begun. */
  fenced: boolean
}

/** What an agent turns to next. */
export type Work =
  | { kind: 'run' }
  | { kind: 'begin'; grant: Grant; release: ReleaseRef; back: boolean }
  | { kind: 'end-unbegun'; grant: Grant; outcome: 'not-started' | 'aborted'; why: string }
  | { kind: 'answer-abort'; command: AbortCommand }
  | { kind: 'stage-ahead'; desired: Desired; release: ReleaseRef }
  | { kind: 'idle' }

/** Level-triggered: from all that is held, whatever brought it (I6: only a grant begins an attempt). */
export function decideWork(held: HeldState, journal: JournalRecord | null, facts: WorkFacts): Work {
  if (journal !== null && journal.phase !== 'ended') return { kind: 'run' }
  if (facts.fenced) return { kind: 'idle' }
  const { grant, desired, abort } = held
  if (grant !== null && !isOver(grant, journal)) {
    if (abort !== null && isAttempt(abort.command.body, grant)) return { kind: 'end-unbegun', grant, outcome: 'aborted', why: 'it was aborted before it began' }
    const order = desired === null ? 1 : comparePositions(grant.desired, desired.position)
    if (order < 0) return { kind: 'end-unbegun', grant, outcome: 'not-started', why: 'another desired came before it began' }
    if (order === 0 && (desired!.release === null || desired!.deployment !== grant.deployment)) return { kind: 'end-unbegun', grant, outcome: 'not-started', why: 'the desired it permits is not about this deployment' }
    if (order === 0) return { kind: 'begin', grant, release: desired!.release!, back: desired!.back }
  }
  if (abort !== null && abort.answer === null) return { kind: 'answer-abort', command: abort.command }
  if (desired !== null && isAheadDue(desired, held, facts)) return { kind: 'stage-ahead', desired, release: desired.release! }
  return { kind: 'idle' }
}

const isOver = (grant: Grant, journal: JournalRecord | null): boolean => journal !== null && journal.deployment === grant.deployment && journal.attempt >= grant.attempt

function isAheadDue(desired: Desired, held: HeldState, facts: WorkFacts): boolean {
  if (desired.staging !== 'ahead' || desired.release === null) return false
  if (held.running?.digest === desired.release.digest || held.staged === desired.release.digest) return false
  return facts.aheadDone === null || comparePositions(facts.aheadDone, desired.position) !== 0
}
