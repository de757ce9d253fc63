import { z } from 'zod'
import { BootId, CommandId, ConnectionId, DeploymentId, FleetId, NodeName, Position, ReleaseRef, RequestId, SiteId, TimeMs } from './ids.ts'
import { rejectReasons } from './directives.ts'
import { limits } from './limits.ts'
import { personalities } from './manifest.ts'
import { journalPhases, outcomes, severities } from './states.ts'

const Reason = z.string().max(limits.reasonLengthMax)

/** Where a failure happened, so that nobody has to read it out of a sentence. */
export const Fault = z.strictObject({
  code: z.string().max(64),
  detail: Reason,
  node: NodeName.optional(),
  component: z.string().max(limits.slugLengthMax).optional(),
  check: z.string().max(100).optional(),
})
export type Fault = z.infer<typeof Fault>

/** A node as its agent sees it. */
export const NodeReport = z.strictObject({
  name: NodeName,
  personality: z.enum(personalities),
  operational: z.enum(['enabled', 'disabled']),
  /** What runs on the node; `mixed` while a converge driver is between two releases. */
  release: ReleaseRef.nullable(),
  mixed: z.boolean(),
})
export type NodeReport = z.infer<typeof NodeReport>

/** One attempt of a deployment, as the agent's journal has it. */
export const AttemptReport = z.strictObject({
  deployment: DeploymentId,
  attempt: z.int().positive(),
  phase: z.enum(journalPhases),
  /** Set once `phase` is `ended`. */
  outcome: z.enum(outcomes).nullable(),
  fault: Fault.nullable(),
  /** Nodes finished out of nodes to do; bytes fetched out of bytes to fetch. */
  nodesDone: z.int().nonnegative(),
  nodesTotal: z.int().nonnegative(),
  bytesDone: z.int().nonnegative(),
  bytesTotal: z.int().nonnegative(),
  /** The request that caused the grant: follows a cause to the site and back. */
  requestId: RequestId,
})
export type AttemptReport = z.infer<typeof AttemptReport>

/**
 * A snapshot of all the controller needs to know, sent on every connect: whatever report was lost before it does not
 * matter any more (SPEC I9).
 */
const Hello = z.strictObject({
  kind: z.literal('hello'),
  connectionId: ConnectionId,
  agentVersion: z.string().max(64),
  protocol: z.strictObject({ min: z.int().positive(), max: z.int().positive() }),
  architecture: z.string().max(32),
  /** Newest desired and newest directive of any kind this site has accepted. */
  held: z.strictObject({ desired: Position.nullable(), newest: Position.nullable() }),
  trustVersion: z.int().nonnegative(),
  clockTrusted: z.boolean(),
  running: ReleaseRef.nullable(),
  previous: ReleaseRef.nullable(),
  /** Digest of a release whose bytes are all here and verified, ahead of its start. */
  staged: z.string().max(64).nullable(),
  /** The attempt in the journal, ended or not; null when there never was one. */
  attempt: AttemptReport.nullable(),
  nodes: z.array(NodeReport).max(limits.nodesPerSiteMax),
})

const Progress = z.strictObject({
  kind: z.literal('progress'),
  attempt: AttemptReport,
  running: ReleaseRef.nullable(),
  previous: ReleaseRef.nullable(),
  nodes: z.array(NodeReport).max(limits.nodesPerSiteMax),
})

/** The bytes of a release are here and verified (or could not be had), ahead of its start. */
const Staged = z.strictObject({ kind: z.literal('staged'), release: ReleaseRef, fault: Fault.nullable() })

/** What is installed, when it changed: facts for people, kept as they came. */
const Inventory = z.strictObject({
  kind: z.literal('inventory'),
  facts: z.record(z.string().max(100), z.string().max(500)).refine((facts) => Object.keys(facts).length <= 200, 'at most 200 facts'),
})

/** A directive that was not followed. `held` is the newest position the site holds: a controller that is behind lifts its own above it. */
const Rejected = z.strictObject({
  kind: z.literal('rejected'),
  reason: z.enum(rejectReasons),
  directive: z.enum(['desired', 'grant', 'command', 'unreadable']),
  position: Position.nullable(),
  held: Position.nullable(),
  deployment: DeploymentId.nullable(),
  attempt: z.int().positive().nullable(),
  detail: Reason,
})

/** A command was carried out, or was found to be already so. */
const Answer = z.strictObject({ kind: z.literal('answer'), command: CommandId, result: z.enum(['done', 'refused', 'nothing-to-do']), detail: Reason })

/** A fault condition that stands until it clears; its identity is (site, alarmId, entity). */
const Alarm = z.strictObject({
  kind: z.literal('alarm'),
  alarmId: z.string().max(20),
  entity: z.string().max(200),
  raised: z.boolean(),
  severity: z.enum(severities),
  text: Reason,
})

/** The last will, or a clean goodbye; ignored unless it is about the connection the controller knows (SPEC I10). */
const Gone = z.strictObject({ kind: z.literal('gone'), connectionId: ConnectionId })

export const ReportBody = z.discriminatedUnion('kind', [Hello, Progress, Staged, Inventory, Rejected, Answer, Alarm, Gone])
export type ReportBody = z.infer<typeof ReportBody>
export type HelloReport = z.infer<typeof Hello>
export type ProgressReport = z.infer<typeof Progress>
export type RejectedReport = z.infer<typeof Rejected>

/** A report. `seq` only grows within an incarnation, across boots too; it decides which of two is newer, not arrival (SPEC I8). */
export const Report = z.strictObject({
  v: z.literal(1),
  fleet: FleetId,
  site: SiteId,
  incarnation: z.int().positive(),
  bootId: BootId,
  seq: z.int().positive(),
  sentAtMs: TimeMs,
  body: ReportBody,
})
export type Report = z.infer<typeof Report>
