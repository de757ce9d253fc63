import type { Command, Desired, Grant } from '../../protocol/directives.ts'
import type { BootId, CommandId, DeploymentId, Digest, FleetId, ReleaseId, SiteId } from '../../protocol/ids.ts'

const head = { v: 1 as const, fleet: 'f' as FleetId, site: 's' as SiteId, incarnation: 1, issuedAtMs: 1_000_000, trustVersion: 1, requestId: 'request-1' }
export const aDeployment = `ro_${'0'.repeat(26)}:s` as DeploymentId
export const aBoot = 'b'.repeat(32) as BootId
export const aRelease = { id: 'shop@2.0.0' as ReleaseId, digest: '2'.repeat(64) as Digest }

/** Directives that differ from a lawful one only where a test says so. */
export const aDesired = (more: Partial<Desired> = {}): Desired => ({
  ...head, kind: 'desired', position: { epoch: 1, generation: 10 }, release: aRelease, deployment: aDeployment, staging: 'with-start', back: false, ...more,
})
export const aGrant = (more: Partial<Grant> = {}): Grant => ({
  ...head, kind: 'grant', position: { epoch: 1, generation: 11 }, desired: { epoch: 1, generation: 10 }, deployment: aDeployment, attempt: 1,
  startByMs: 1_600_000, maxDurationMs: 3_600_000, bootId: aBoot, ...more,
})
export const aCommand = (more: Partial<Command> = {}): Command => ({
  ...head, kind: 'command', position: { epoch: 1, generation: 12 }, id: `cm_${'0'.repeat(26)}` as CommandId, bootId: aBoot, expiresAtMs: 1_600_000,
  body: { type: 'hello' }, ...more,
})
