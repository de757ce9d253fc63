import * as z from 'zod'
import { limits } from './limits.ts'

/** A lower-case DNS label: safe in an MQTT topic, a file name, a URL path and a Kubernetes label. */
const slug = z
  .string()
  .max(limits.slugLengthMax)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and inner hyphens')

/** The name of a site; chosen by the operator, never reused for another place. */
export const SiteId = slug.brand('SiteId')
export type SiteId = z.infer<typeof SiteId>

/** The name of a node inside its site. */
export const NodeName = slug.brand('NodeName')
export type NodeName = z.infer<typeof NodeName>

/** The name of one deployment of the controller; part of every topic and of every signed statement. */
export const FleetId = slug.brand('FleetId')
export type FleetId = z.infer<typeof FleetId>

/** SHA-256 of some bytes, as 64 lower-case hexadecimal digits. */
export const Digest = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits').brand('Digest')
export type Digest = z.infer<typeof Digest>

/** The digest of a raw Ed25519 public key. */
export const KeyId = Digest.brand('KeyId')
export type KeyId = z.infer<typeof KeyId>

/** `major.minor.patch` with an optional pre-release, ordered as Semantic Versioning 2.0.0 §11 says. */
export const Version = z
  .string()
  .max(limits.slugLengthMax)
  .regex(/^\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/, 'must be a semantic version such as 1.4.0 or 1.4.0-rc.1')
export type Version = z.infer<typeof Version>

/** The product line a release belongs to. */
export const ReleaseName = slug
/** `name@version`: what people call a release. What it *is* is the digest of its manifest. */
export const ReleaseId = z
  .string()
  .max(2 * limits.slugLengthMax + 1)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/, 'must be name@version')
  .brand('ReleaseId')
export type ReleaseId = z.infer<typeof ReleaseId>

export const releaseId = (name: string, version: string): ReleaseId => `${name}@${version}` as ReleaseId
/** The two halves of a release id. */
export function splitReleaseId(id: ReleaseId): { name: string; version: Version } {
  const at = id.indexOf('@')
  return { name: id.slice(0, at), version: id.slice(at + 1) }
}

/** A release named and pinned: the digest decides, the id is for people. */
export const ReleaseRef = z.strictObject({ id: ReleaseId, digest: Digest })
export type ReleaseRef = z.infer<typeof ReleaseRef>

/** Made by the controller: a prefix and 26 sortable characters (48 bits of time, 80 of chance). */
const made = (prefix: string) => z.string().regex(new RegExp(`^${prefix}_[0-9a-z]{26}$`), `must be ${prefix}_ and 26 characters`)
export const RolloutId = made('ro').brand('RolloutId')
export type RolloutId = z.infer<typeof RolloutId>
export const TokenId = made('tk').brand('TokenId')
export type TokenId = z.infer<typeof TokenId>
export const CommandId = made('cm').brand('CommandId')
export type CommandId = z.infer<typeof CommandId>

export const WebhookId = made('wh').brand('WebhookId')
export type WebhookId = z.infer<typeof WebhookId>
export const DeliveryId = made('wd').brand('DeliveryId')
export type DeliveryId = z.infer<typeof DeliveryId>

/** One site's way through one rollout; made of both names, so that it needs no table to be found. */
export const DeploymentId = z
  .string()
  .regex(/^ro_[0-9a-z]{26}:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'must be rollout:site')
  .brand('DeploymentId')
export type DeploymentId = z.infer<typeof DeploymentId>
export const deploymentId = (rollout: RolloutId, site: SiteId): DeploymentId => `${rollout}:${site}` as DeploymentId
/** The two halves of a deployment id. */
export function splitDeploymentId(id: DeploymentId): { rollout: RolloutId; site: SiteId } {
  const colon = id.indexOf(':')
  return { rollout: id.slice(0, colon) as RolloutId, site: id.slice(colon + 1) as SiteId }
}

/** Unguessable and new at each start of an agent. */
export const BootId = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits').brand('BootId')
export type BootId = z.infer<typeof BootId>
/** New at each MQTT connection of an agent. */
export const ConnectionId = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits').brand('ConnectionId')
export type ConnectionId = z.infer<typeof ConnectionId>

/** Follows one cause through log lines, a directive and the site's reports. */
export const RequestId = z.string().regex(/^[0-9A-Za-z_-]{8,64}$/, 'must be 8 to 64 of 0-9 A-Z a-z _ -')
export type RequestId = z.infer<typeof RequestId>

/** Milliseconds since 1970-01-01T00:00:00Z. */
export const TimeMs = z.int().nonnegative()
/** A length of time in milliseconds. */
export const SpanMs = z.int().nonnegative()

/** What orders directives at a site: compared lexicographically (SPEC I5). */
export const Position = z.strictObject({ epoch: z.int().nonnegative().max(limits.epochMax), generation: z.int().nonnegative().max(limits.generationMax) })
export type Position = z.infer<typeof Position>
/** Negative when `a` is older than `b`, zero when equal, positive when newer. */
export const comparePositions = (a: Position, b: Position): number => a.epoch - b.epoch || a.generation - b.generation
