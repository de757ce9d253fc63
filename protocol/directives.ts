import * as z from 'zod'
import { BootId, CommandId, DeploymentId, FleetId, Position, ReleaseRef, RequestId, SiteId, SpanMs, TimeMs } from './ids.ts'
import { MonitoringSettings } from './monitoring.ts'

/** What every directive carries. `position` strictly grows from one new directive to the next at a site (SPEC I5). */
const head = {
  v: z.literal(1),
  fleet: FleetId,
  site: SiteId,
  incarnation: z.int().positive(),
  position: Position,
  issuedAtMs: TimeMs,
  /** Highest `trust.json` the controller knows: an agent that holds an older one asks for it. */
  trustVersion: z.int().positive(),
  requestId: RequestId,
}

/** *What* a site should run. Retained, does not expire, and never permits a start (SPEC I6). */
export const Desired = z.strictObject({
  ...head,
  kind: z.literal('desired'),
  /** Null: the controller wants nothing changed; the site keeps what it runs. */
  release: ReleaseRef.nullable(),
  deployment: DeploymentId.nullable(),
  /** `ahead`: fetch and verify the bytes now; `with-start`: only once granted. */
  staging: z.enum(['ahead', 'with-start']),
  /** True only for a return to a release of the site's own verified history. */
  back: z.boolean(),
})
export type Desired = z.infer<typeof Desired>

/** *When*: permission to start one attempt. Not retained. Not to begin after `startByMs`; to have ended, one way or the other, within `maxDurationMs` of the start. */
export const Grant = z.strictObject({
  ...head,
  kind: z.literal('grant'),
  /** The position of the desired it permits. */
  desired: Position,
  deployment: DeploymentId,
  attempt: z.int().positive(),
  startByMs: TimeMs,
  maxDurationMs: SpanMs,
  /** The boot that asked; an agent without a trusted clock accepts no other. */
  bootId: BootId,
})
export type Grant = z.infer<typeof Grant>

export const abortModes = ['finish', 'safe-point', 'revert'] as const

/** One-off orders, a closed union: nothing executable ever comes this way. */
export const CommandBody = z.discriminatedUnion('type', [
  /** Stop a deployment: at the next safe point, or by going back. */
  z.strictObject({ type: z.literal('abort'), deployment: DeploymentId, attempt: z.int().positive(), mode: z.enum(['safe-point', 'revert']) }),
  /** Say hello again: the controller may have missed something. */
  z.strictObject({ type: z.literal('hello') }),
  /** Watch by these settings from now on, over the defaults. Protocol 2. */
  z.strictObject({ type: z.literal('monitoring'), settings: MonitoringSettings }),
  /** Somebody is looking: a sample every so often, for so long. Protocol 2. */
  z.strictObject({ type: z.literal('live'), everyS: z.int().min(1).max(60), forS: z.int().min(1).max(600) }),
])
export type CommandBody = z.infer<typeof CommandBody>

export const Command = z.strictObject({ ...head, kind: z.literal('command'), id: CommandId, bootId: BootId.nullable(), expiresAtMs: TimeMs, body: CommandBody })
export type Command = z.infer<typeof Command>

export const Directive = z.discriminatedUnion('kind', [Desired, Grant, Command])
export type Directive = z.infer<typeof Directive>

/** Why a site did not do what a directive said; goes back in a `rejected` report. */
export const rejectReasons = [
  'bad-signature', 'malformed', 'wrong-site', 'retained', 'stale', 'expired', 'wrong-boot', 'clock-untrusted',
  'unknown-desired', 'already-done', 'release-refused', 'unknown-deployment',
] as const
export type RejectReason = (typeof rejectReasons)[number]
