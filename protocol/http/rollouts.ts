import * as z from 'zod'
import { ReleaseRef, RolloutId, SiteId } from '../ids.ts'
import { abortModes } from '../directives.ts'
import { limits } from '../limits.ts'
import { RolloutPolicy, RolloutRequest, RolloutTarget } from '../policy.ts'
import { Selector } from '../labels.ts'
import { Fault } from '../reports.ts'
import { deploymentStates, pauseReasons, rolloutStates, waveStates } from '../states.ts'
import { At, PageQuery, contract, page } from './contract.ts'
import { Blocker } from './sites.ts'

const RolloutParams = z.strictObject({ rollout: RolloutId })
const Reason = z.string().max(limits.reasonLengthMax).default('')

/** How many deployments are in which state; states without any are left out. */
export const Counts = z.partialRecord(z.enum(deploymentStates), z.int())
export type Counts = z.infer<typeof Counts>

export const WaveView = z.object({
  ordinal: z.int(), name: z.string(), state: z.enum(waveStates), members: z.int(), counts: Counts, barrier: z.boolean(), successThreshold: z.number(),
  approvedBy: z.string().nullable(), openedAt: At.nullable(), lastSuccessAt: At.nullable(),
  /** Why the next wave is not open yet; empty when it is, or when this is the last. */
  waitingFor: z.array(Blocker),
})
export type WaveView = z.infer<typeof WaveView>

export const RolloutView = z.object({
  id: RolloutId, name: z.string(), target: RolloutTarget, selector: Selector, policy: RolloutPolicy, state: z.enum(rolloutStates),
  pauses: z.array(z.object({ reason: z.enum(pauseReasons), detail: z.string() })),
  /** The rollout that brings the agents which this one needs, and that it does not start before the end of. */
  after: RolloutId.nullable().default(null),
  members: z.int(), counts: Counts, waves: z.array(WaveView),
  abort: z.object({ mode: z.enum(abortModes), inFlight: z.int(), acknowledged: z.int() }).nullable(),
  /** Sites that were offline at their turn and may still catch up until then. */
  parkedUntil: At.nullable(),
  createdBy: z.string(), createdAt: At, startedAt: At.nullable(), endedAt: At.nullable(), requestId: z.string(), version: z.int(),
})
export type RolloutView = z.infer<typeof RolloutView>

export const DeploymentView = z.object({
  rollout: RolloutId, site: SiteId, wave: z.string().nullable(), group: z.string(), state: z.enum(deploymentStates), attempt: z.int(),
  from: ReleaseRef.nullable(), to: ReleaseRef.nullable(), phase: z.string().nullable(), bytesDone: z.int(), bytesTotal: z.int(), nodesDone: z.int(), nodesTotal: z.int(),
  why: z.string(), fault: Fault.nullable(), grantedAt: At.nullable(), startedAt: At.nullable(), endedAt: At.nullable(), deadlineAt: At.nullable(), updatedAt: At,
})
export type DeploymentView = z.infer<typeof DeploymentView>

/** What a rollout would do, without doing any of it: gather and decide, nothing else. */
export const RolloutPlan = z.object({
  name: z.string(), target: z.string(), members: z.int(),
  waves: z.array(z.object({ name: z.string(), sites: z.array(SiteId), barrier: z.boolean(), successThreshold: z.number(), soakMs: z.int(), approval: z.boolean() })),
  maxParallel: z.int(),
  groups: z.array(z.object({ group: z.string(), members: z.int(), maxParallel: z.int() })),
  skipped: z.array(z.object({ site: SiteId, why: z.string() })),
  /** Members that would not start now, and why. */
  blocked: z.array(z.object({ site: SiteId, blockers: z.array(Blocker) })),
  /** Rollouts that would be created with this one and go first, because they bring agents that it needs. */
  agentsFirst: z.array(z.object({ name: z.string(), release: z.string(), sites: z.array(SiteId) })).default([]),
  /** Components without a way back, and the sites that would get them. */
  cannotBeUndone: z.array(z.object({ release: z.string(), components: z.array(z.string()), sites: z.int() })),
  bytes: z.object({ perSiteMax: z.int(), total: z.int() }),
  /** The end if every site takes `perSiteMs`: measured over earlier deployments, or the policy's maxDuration where there are none. */
  expected: z.object({ perSiteMs: z.int(), basis: z.string(), endsAt: At }),
  warnings: z.array(z.string()),
})
export type RolloutPlan = z.infer<typeof RolloutPlan>

const SiteList = z.array(SiteId).min(1).max(limits.sitesMax)

export const rolloutContracts = {
  createRollout: contract({ id: 'createRollout', idempotencyKey: 'once', tag: 'Rollouts', method: 'post', path: '/v1/rollouts', access: 'operator', summary: 'Create a rollout; its waves are decided now', body: RolloutRequest, response: RolloutView, status: 201 }),
  planRollout: contract({ id: 'planRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/plan', access: 'viewer', summary: 'Dry run: waves, skipped sites, bytes, what cannot be undone, the expected end', body: RolloutRequest, response: RolloutPlan, idempotencyKey: false }),
  listRollouts: contract({ id: 'listRollouts', tag: 'Rollouts', method: 'get', path: '/v1/rollouts', access: 'viewer', summary: 'List rollouts, newest first', query: z.strictObject({ ...PageQuery, state: z.enum(rolloutStates).optional() }), response: page(RolloutView) }),
  getRollout: contract({ id: 'getRollout', tag: 'Rollouts', method: 'get', path: '/v1/rollouts/{rollout}', access: 'viewer', summary: 'Show a rollout', params: RolloutParams, response: RolloutView, etag: true }),
  listDeployments: contract({ id: 'listDeployments', tag: 'Rollouts', method: 'get', path: '/v1/rollouts/{rollout}/deployments', access: 'viewer', summary: "The sites' ways through a rollout", params: RolloutParams, query: z.strictObject({ ...PageQuery, state: z.enum(deploymentStates).optional() }), response: page(DeploymentView) }),
  pauseRollout: contract({ id: 'pauseRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/pause', access: 'operator', summary: 'Give no new grants', params: RolloutParams, body: z.strictObject({ reason: Reason }), response: RolloutView, etag: true }),
  resumeRollout: contract({ id: 'resumeRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/resume', access: 'operator', summary: 'Go on; acknowledges the failures seen so far', params: RolloutParams, body: z.strictObject({ reason: Reason }), response: RolloutView, etag: true }),
  approveRollout: contract({ id: 'approveRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/approve', access: 'operator', summary: 'Approve the wave that waits for it', params: RolloutParams, body: z.strictObject({ wave: z.string().max(limits.slugLengthMax).optional(), reason: Reason }), response: RolloutView, etag: true }),
  abortRollout: contract({ id: 'abortRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/abort', access: 'operator', summary: 'End it: let sites in flight finish, stop them at a safe point, or take them back', params: RolloutParams, body: z.strictObject({ mode: z.enum(abortModes), reason: Reason }), response: RolloutView, status: 202, etag: true }),
  retryRollout: contract({ id: 'retryRollout', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/retry', access: 'operator', summary: 'Another attempt for the failed: all of them, or those named', params: RolloutParams, body: z.strictObject({ sites: SiteList.optional(), reason: Reason }), response: z.object({ rollout: RolloutView, retried: z.int() }), etag: true }),
  waiveDeployments: contract({ id: 'waiveDeployments', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/waive', access: 'operator', summary: 'Take failed or needs-hands sites out of the count, and free their places', params: RolloutParams, body: z.strictObject({ sites: SiteList, reason: z.string().min(1).max(limits.reasonLengthMax) }), response: z.object({ rollout: RolloutView, waived: z.int() }), etag: true }),
  rollbackRollout: contract({ id: 'rollbackRollout', idempotencyKey: 'once', tag: 'Rollouts', method: 'post', path: '/v1/rollouts/{rollout}/rollback', access: 'operator', summary: 'A new rollout that returns each touched site to what it ran before', params: RolloutParams, body: z.strictObject({ policy: RolloutPolicy.optional(), reason: Reason }), response: RolloutView, status: 201 }),
} as const
