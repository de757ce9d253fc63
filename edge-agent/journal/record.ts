import * as z from 'zod'
import { BootId, DeploymentId, NodeName, ReleaseRef, RequestId, SpanMs, TimeMs } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { AttemptReport, Fault } from '../../protocol/reports.ts'
import { journalPhases, outcomes } from '../../protocol/states.ts'
import type { Grant } from '../../protocol/directives.ts'

/**
 * One attempt, as it is written before each of its steps (SPEC §4.3). All that recovery may rely on is in here. It outlives
 * a change of the agent's version, in both directions: a field that is added has a default, one that is not known is
 * passed over, and none changes its meaning while `v` is 1.
 */
export const JournalRecord = z.object({
  v: z.literal(1),
  deployment: DeploymentId,
  attempt: z.int().positive(),
  requestId: RequestId,
  grant: z.object({ startByMs: TimeMs, issuedAtMs: TimeMs, maxDurationMs: SpanMs, bootId: BootId }),
  from: ReleaseRef.nullable(),
  /** Null only in a record that ended before anybody said what to bring. */
  to: ReleaseRef.nullable(),
  back: z.boolean(),
  /** Decided once, so that a changed configuration cannot shift what is behind the cursor. */
  batches: z.array(z.array(NodeName).min(1)).max(limits.nodesPerSiteMax),
  phase: z.enum(journalPhases),
  /** Applying: the batch in progress. Rolling back: batches that are still to be restored, the last first. */
  batch: z.int().nonnegative(),
  /** Starts of the agent inside this step; breaks crash loops (F24). */
  starts: z.int().nonnegative(),
  /** Since staging began, over all lives; `wallMs` is the wall clock when it was last added up. */
  elapsedMs: z.number().nonnegative(),
  wallMs: TimeMs,
  /** How it ends once it is back. */
  ending: z.enum(['failed', 'rolled-back', 'timed-out', 'aborted']).nullable(),
  /** Some node did not come back to the old release. */
  unrestored: z.boolean(),
  fault: Fault.nullable(),
  outcome: z.enum(outcomes).nullable(),
  bytesDone: z.int().nonnegative(),
  bytesTotal: z.int().nonnegative(),
})
export type JournalRecord = z.infer<typeof JournalRecord>

type Beginning = Pick<JournalRecord, 'from' | 'to' | 'back' | 'batches' | 'wallMs'>

/** The record of an attempt that a grant permits and that has not begun. */
export const recordOf = (grant: Grant, beginning: Beginning): JournalRecord => ({
  v: 1, deployment: grant.deployment, attempt: grant.attempt, requestId: grant.requestId,
  grant: { startByMs: grant.startByMs, issuedAtMs: grant.issuedAtMs, maxDurationMs: grant.maxDurationMs, bootId: grant.bootId },
  ...beginning,
  phase: 'accepted', batch: 0, starts: 0, elapsedMs: 0, ending: null, unrestored: false, fault: null, outcome: null, bytesDone: 0, bytesTotal: 0,
})

export const isLive = (record: JournalRecord | null): boolean => record !== null && record.phase !== 'ended'

export const isAttempt = (record: { deployment: string; attempt: number } | null, of: { deployment: string; attempt: number }): boolean =>
  record !== null && record.deployment === of.deployment && record.attempt === of.attempt

/** The record as reports show it. */
export function attemptReport(record: JournalRecord): AttemptReport {
  const doneBatches = record.phase === 'applying' ? record.batches.slice(0, record.batch)
    : record.phase === 'verifying' || record.phase === 'committing' || record.outcome === 'succeeded' ? record.batches : []
  return {
    deployment: record.deployment, attempt: record.attempt, phase: record.phase, outcome: record.outcome, fault: record.fault,
    nodesDone: doneBatches.flat().length, nodesTotal: record.batches.flat().length,
    bytesDone: record.bytesDone, bytesTotal: record.bytesTotal, requestId: record.requestId,
  }
}
