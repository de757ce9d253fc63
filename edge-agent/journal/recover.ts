import type { Fault } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import { goBack } from '../apply/decide.ts'
import type { JournalRecord } from './record.ts'

export type RecoverLimits = { journalStartsMax: number }
/** `awayMs`: wall time between the last record and this start, 0 where the clock cannot say. */
export type RecoverFacts = { awayMs: number }

/** `forward` may only go on to its end; `continue` may still go either way. */
export type Recovery =
  | { kind: 'nothing' }
  | { kind: 'continue' | 'forward' | 'back'; record: JournalRecord; why: string }
  | { kind: 'end'; record: JournalRecord; why: string }

const crashLoop = (record: JournalRecord, limits: RecoverLimits): Fault => ({
  code: 'crash-loop', detail: `the agent was started ${limits.journalStartsMax + 1} times while ${record.phase}`,
})

/**
 * What an agent that starts does with the record it finds (SPEC §4.3). The record it returns counts this start and the
 * time away, and is to be written before anything else is done.
 */
export function recover(record: JournalRecord | null, facts: RecoverFacts, limits: RecoverLimits): Recovery {
  if (record === null || record.phase === 'ended') return { kind: 'nothing' }
  const counted = record.phase === 'accepted' ? record : { ...record, elapsedMs: record.elapsedMs + Math.max(0, facts.awayMs) }
  const again = { ...counted, starts: record.starts + 1 }
  const tooOften = again.starts > limits.journalStartsMax
  switch (record.phase) {
    case 'accepted':
    case 'staging':
      return { kind: 'continue', record: again, why: `goes on with ${record.phase}` }
    case 'applying':
    case 'verifying':
      if (!tooOften) return { kind: 'continue', record: again, why: `${record.phase} again` }
      return { kind: 'back', record: goBack(counted, 'failure', crashLoop(record, limits)), why: 'started too often in this step' }
    case 'committing':
      return { kind: 'forward', record: again, why: 'past the point of no return' }
    case 'rolling-back':
      if (!tooOften) return { kind: 'back', record: again, why: 'goes on going back' }
      return { kind: 'end', record: { ...counted, phase: 'ended', outcome: 'needs-hands', fault: crashLoop(record, limits) }, why: 'started too often while going back' }
    default:
      return assertNever(record.phase)
  }
}
