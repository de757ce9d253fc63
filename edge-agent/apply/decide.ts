import type { CommandBody } from '../../protocol/directives.ts'
import type { Fault } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import type { JournalRecord } from '../journal/record.ts'

export type AbortMode = Extract<CommandBody, { type: 'abort' }>['mode']

/** One step of an attempt. Each may be taken again after a sudden end. */
export type Step =
  | { kind: 'stage' }
  | { kind: 'apply'; batch: number }
  | { kind: 'verify' }
  | { kind: 'commit' }
  | { kind: 'roll-back'; batch: number }
  | { kind: 'clean' }

/** What the world says, beside the record. */
export type StepFacts = {
  /** Whether the grant may still be begun. */
  grantGood: boolean
  elapsedMs: number
  /** An abort of this attempt that was accepted and is not answered yet. */
  abort: AbortMode | null
  /** Whether everything applied so far can be undone. */
  reversible: boolean
}

/** `move`: only the record changes. `do`: the record stands for the step; write it, then take the step. */
export type Decision =
  | { kind: 'move'; record: JournalRecord; why: string }
  | { kind: 'do'; step: Step; why: string }
  | { kind: 'done' }

export type AbortAnswer = { result: 'done' | 'refused' | 'nothing-to-do'; detail: string; goesBack: boolean }

const beforeCommit = (record: JournalRecord): boolean => ['accepted', 'staging', 'applying', 'verifying'].includes(record.phase)

/** What an abort means to an attempt in this state (SPEC §4.3). Null: this site has no such attempt. */
export function decideAbort(record: JournalRecord | null, mode: AbortMode, reversible: boolean): AbortAnswer {
  const answer = (result: AbortAnswer['result'], detail: string, goesBack = false): AbortAnswer => ({ result, detail, goesBack })
  if (record === null) return answer('nothing-to-do', 'there is no such attempt here')
  // What an earlier life turned back for this very abort, and could not answer any more.
  if (record.ending === 'aborted') return answer('done', 'it goes back')
  if (record.phase === 'ended') return answer('nothing-to-do', `it has ended: ${record.outcome}`)
  if (record.phase === 'accepted' || record.phase === 'staging') return answer('done', 'nothing was changed yet', true)
  if (record.phase === 'rolling-back') return answer('nothing-to-do', 'it is going back already')
  if (mode === 'safe-point') return answer('nothing-to-do', 'it has begun to apply and goes on to its end')
  if (record.phase === 'committing') return answer('refused', 'it is past the point of no return')
  if (!reversible) return answer('refused', 'a component that was applied cannot be undone')
  return answer('done', 'it goes back', true)
}

/** Batches in which something may have been changed. */
const touchedBatches = (record: JournalRecord): number =>
  record.phase === 'applying' ? Math.min(record.batch + 1, record.batches.length) : record.phase === 'verifying' ? record.batches.length : 0

/** Turns an attempt that is before its commit towards the old release. */
export function goBack(record: JournalRecord, cause: 'failure' | 'deadline' | 'abort', fault: Fault | null): JournalRecord {
  const batch = touchedBatches(record)
  const ending = cause === 'deadline' ? 'timed-out' : cause === 'abort' ? 'aborted' : batch > 0 ? 'rolled-back' : 'failed'
  return { ...record, phase: 'rolling-back', batch, starts: 0, ending, fault }
}

const end = (record: JournalRecord, outcome: NonNullable<JournalRecord['outcome']>): JournalRecord => ({ ...record, phase: 'ended', starts: 0, outcome })

/** The next thing to do about an attempt. Pure: the record and the facts are all it knows. */
export function decideStep(record: JournalRecord, facts: StepFacts): Decision {
  if (record.phase === 'ended') return { kind: 'done' }
  if (facts.abort !== null && decideAbort(record, facts.abort, facts.reversible).goesBack) {
    return { kind: 'move', record: goBack(record, 'abort', null), why: `aborted (${facts.abort})` }
  }
  if (beforeCommit(record) && facts.elapsedMs >= record.grant.maxDurationMs) {
    const fault = { code: 'deadline', detail: `it took longer than ${record.grant.maxDurationMs} ms, while ${record.phase}` }
    return { kind: 'move', record: goBack(record, 'deadline', fault), why: 'the deadline passed' }
  }
  switch (record.phase) {
    case 'accepted':
      if (!facts.grantGood) return { kind: 'move', record: end(record, 'not-started'), why: 'the grant ended before the start (I6)' }
      return { kind: 'move', record: { ...record, phase: 'staging', starts: 0 }, why: 'the grant is good' }
    case 'staging':
      return { kind: 'do', step: { kind: 'stage' }, why: 'bytes first' }
    case 'applying':
      return { kind: 'do', step: { kind: 'apply', batch: record.batch }, why: `batch ${record.batch + 1} of ${record.batches.length}` }
    case 'verifying':
      return { kind: 'do', step: { kind: 'verify' }, why: 'every batch is applied' }
    case 'committing':
      return { kind: 'do', step: { kind: 'commit' }, why: 'verified' }
    case 'rolling-back':
      if (record.batch > 0) return { kind: 'do', step: { kind: 'roll-back', batch: record.batch - 1 }, why: `${record.batch} batches to restore` }
      return { kind: 'do', step: { kind: 'clean' }, why: 'everything is restored that could be' }
    default:
      return assertNever(record.phase)
  }
}

/** The record after a step that was done. */
export function afterStep(record: JournalRecord, step: Step): JournalRecord {
  switch (step.kind) {
    case 'stage':
      return { ...record, phase: 'applying', batch: 0, starts: 0 }
    case 'apply':
      return step.batch + 1 < record.batches.length ? { ...record, batch: step.batch + 1, starts: 0 } : { ...record, phase: 'verifying', batch: record.batches.length, starts: 0 }
    case 'verify':
      return { ...record, phase: 'committing', starts: 0 }
    case 'commit':
      return end({ ...record, fault: null }, 'succeeded')
    case 'roll-back':
      return { ...record, batch: step.batch, starts: 0 }
    case 'clean':
      return end(record, record.unrestored ? 'needs-hands' : (record.ending ?? 'failed'))
    default:
      return assertNever(step)
  }
}

/** The record after a step that failed. A commit that fails is taken again; a rollback that fails goes on with the other batches. */
export function afterFailure(record: JournalRecord, step: Step, fault: Fault): JournalRecord {
  switch (step.kind) {
    case 'stage':
    case 'apply':
    case 'verify':
      return goBack(record, 'failure', fault)
    case 'commit':
      return { ...record, fault }
    case 'roll-back':
      return { ...record, batch: step.batch, starts: 0, unrestored: true, fault }
    case 'clean':
      return afterStep(record, step)
    default:
      return assertNever(step)
  }
}
