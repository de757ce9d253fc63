import * as z from 'zod'
import { BootId, CommandId, ConnectionId, DeploymentId, Digest, FleetId, NodeName, Position as SignedPosition, ReleaseRef as SignedReleaseRef, RequestId, SiteId, TimeMs } from './ids.ts'
import { rejectReasons } from './directives.ts'
import { limits } from './limits.ts'
import { personalities } from './manifest.ts'
import { LiveSample, MetricBlock } from './metrics.ts'
import { journalPhases, outcomes, severities } from './states.ts'

// A newer agent may say more than is known here: reports leave out what they do not know, at every depth (SPEC §3.4).
// What is signed by a publisher or the fleet key refuses it.
const Position = z.object(SignedPosition.shape)
const ReleaseRef = z.object(SignedReleaseRef.shape)
const Reason = z.string().max(limits.reasonLengthMax)

/** Where a failure happened, so that nobody has to read it out of a sentence. */
export const Fault = z.object({
  code: z.string().max(64),
  detail: Reason,
  node: NodeName.optional(),
  component: z.string().max(limits.slugLengthMax).optional(),
  check: z.string().max(100).optional(),
})
export type Fault = z.infer<typeof Fault>

/** A node as its agent sees it. */
export const NodeReport = z.object({
  name: NodeName,
  personality: z.enum(personalities),
  operational: z.enum(['enabled', 'disabled']),
  /** What runs on the node; `mixed` while a converge driver is between two releases. */
  release: ReleaseRef.nullable(),
  mixed: z.boolean(),
})
export type NodeReport = z.infer<typeof NodeReport>

/** One attempt of a deployment, as the agent's journal has it. */
export const AttemptReport = z.object({
  deployment: DeploymentId,
  attempt: z.int().positive().max(limits.attemptMax),
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

/** One alarm that stands at a site. `sinceMs` is the site's own clock. */
export const StandingAlarm = z.object({ alarmId: z.string().max(20), entity: z.string().max(limits.alarmEntityMax), severity: z.enum(severities), text: Reason, sinceMs: TimeMs })
export type StandingAlarm = z.infer<typeof StandingAlarm>
/** All that stand: what the site raised and is not among them has cleared (SPEC §9). */
const StandingAlarms = z.array(StandingAlarm).max(limits.alarmsPerSiteMax)

/** The part of a hello that no version changes: an agent whose other words are not understood is still seen to be there, and what it speaks. */
const greeting = {
  kind: z.literal('hello'),
  connectionId: ConnectionId,
  agentVersion: z.string().max(64),
  protocol: z.object({ min: z.int().positive(), max: z.int().positive() }),
}

/**
 * A snapshot of all that rollouts need to know, sent on every connect: whatever report was lost before it does not
 * matter any more (SPEC I9). It gets no new fields: controllers of protocol 1 would refuse it, and lose sight of the site.
 */
const Hello = z.object({
  ...greeting,
  architecture: z.string().max(32),
  /** Newest desired and newest directive of any kind this site has accepted. */
  held: z.object({ desired: Position.nullable(), newest: Position.nullable() }),
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

const Progress = z.object({
  kind: z.literal('progress'),
  attempt: AttemptReport,
  running: ReleaseRef.nullable(),
  previous: ReleaseRef.nullable(),
  nodes: z.array(NodeReport).max(limits.nodesPerSiteMax),
})

/** The bytes of a release are here and verified (or could not be had), ahead of its start. */
const Staged = z.object({ kind: z.literal('staged'), release: ReleaseRef, fault: Fault.nullable() })

/** What is installed, when it changed: facts for people, kept as they came. */
const Inventory = z.object({
  kind: z.literal('inventory'),
  facts: z.record(z.string().max(100), z.string().max(500)).refine((facts) => Object.keys(facts).length <= 200, 'at most 200 facts'),
})

/** A directive that was not followed. `held` is the newest position the site holds: a controller that is behind lifts its own above it. */
const Rejected = z.object({
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
const Answer = z.object({ kind: z.literal('answer'), command: CommandId, result: z.enum(['done', 'refused', 'nothing-to-do']), detail: Reason })

/** A fault condition that stands until it clears; its identity is (site, alarmId, entity). */
const Alarm = z.object({
  kind: z.literal('alarm'),
  alarmId: z.string().max(20),
  entity: z.string().max(limits.alarmEntityMax),
  raised: z.boolean(),
  severity: z.enum(severities),
  text: Reason,
  /** When it began by the site's clock. Protocol 2. */
  sinceMs: TimeMs.optional(),
})

/** Behind each hello: all alarms that stand at the site, and the digest of the monitoring settings it follows (null: the defaults). Protocol 2. */
const Standing = z.object({ kind: z.literal('standing'), alarms: StandingAlarms, monitoring: Digest.nullable() })

/** A quarter of an hour of the site, and what stands at its end. Protocol 2. */
const Metrics = z.object({ kind: z.literal('metrics'), block: MetricBlock, alarms: StandingAlarms })

/** For whoever looks right now; never kept on the way. Protocol 2. */
const Live = z.object({ kind: z.literal('live'), sample: LiveSample })

/** The last will, or a clean goodbye; ignored unless it is about the connection the controller knows (SPEC I10). */
const Gone = z.object({ kind: z.literal('gone'), connectionId: ConnectionId })

export const ReportBody = z.discriminatedUnion('kind', [Hello, Progress, Staged, Inventory, Rejected, Answer, Alarm, Standing, Metrics, Live, Gone])
export type ReportBody = z.infer<typeof ReportBody>
export type HelloReport = z.infer<typeof Hello>
export type ProgressReport = z.infer<typeof Progress>
export type RejectedReport = z.infer<typeof Rejected>

const head = {
  v: z.literal(1),
  fleet: FleetId,
  site: SiteId,
  incarnation: z.int().positive(),
  bootId: BootId,
  seq: z.int().positive(),
  sentAtMs: TimeMs,
}

/** A report. `seq` only grows within an incarnation, across boots too; it decides which of two is newer, not arrival (SPEC I8). */
export const Report = z.object({ ...head, body: ReportBody })
export type Report = z.infer<typeof Report>

const kinds: ReadonlySet<string> = new Set(ReportBody.options.map((body) => body.shape.kind.value))
/** A report of a kind that is not known here: a newer agent's. */
export const UnknownReport = z.object({ ...head, body: z.object({ kind: z.string().max(64).refine((kind) => !kinds.has(kind)) }) })
export type UnknownReport = z.infer<typeof UnknownReport>
/** A hello of which no more can be read than that somebody is there. */
export const Greeting = z.object({ ...head, body: z.object(greeting) })
export type Greeting = z.infer<typeof Greeting>
