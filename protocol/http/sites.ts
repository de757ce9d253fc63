import * as z from 'zod'
import { Position, ReleaseRef, RolloutId, SiteId } from '../ids.ts'
import { Labels } from '../labels.ts'
import { limits } from '../limits.ts'
import { standings } from '../protocol-versions.ts'
import { AttemptReport, NodeReport } from '../reports.ts'
import { deploymentStates, presences, siteStates } from '../states.ts'
import { Freeze, TimeZone, Window } from '../time.ts'
import { At, PageQuery, contract, page } from './contract.ts'
import { NodeLock } from './monitoring.ts'

const SiteParams = z.strictObject({ site: SiteId })

/** What an operator decides about a site. */
export const SiteSettings = z.strictObject({
  labels: Labels.default({}),
  timeZone: TimeZone.default('UTC'),
  /** When changes may start; none means at any time. */
  windows: z.array(Window).max(limits.windowsPerSiteMax).default([]),
  freezes: z.array(Freeze).max(limits.freezesPerSiteMax).default([]),
})
export type SiteSettings = z.infer<typeof SiteSettings>

export const SiteView = z.object({
  id: SiteId,
  ...SiteSettings.shape,
  state: z.enum(siteStates),
  presence: z.enum(presences),
  /** Counts enrolments; 0 before the first. */
  incarnation: z.int(),
  agentVersion: z.string().nullable(),
  /** The protocol versions it speaks, and how it stands to this controller: `too-old` and `too-new` have none in common with it and are told nothing. */
  agentProtocol: z.object({ min: z.int(), max: z.int(), standing: z.enum(standings) }).nullable().default(null),
  architecture: z.string().nullable(),
  clockTrusted: z.boolean().nullable(),
  running: ReleaseRef.nullable(),
  previous: ReleaseRef.nullable(),
  desired: ReleaseRef.nullable(),
  staged: z.string().nullable(),
  held: Position.nullable(),
  attempt: AttemptReport.nullable(),
  nodes: z.array(NodeReport),
  /** Nodes where somebody works. */
  locks: z.array(NodeLock).default([]),
  lastSeenAt: At.nullable(),
  createdAt: At,
  version: z.int(),
})
export type SiteView = z.infer<typeof SiteView>

/** A one-time permission to bind a key to a site, as the one line to run there. Shown once. */
export const ClaimView = z.object({ site: SiteId, claim: z.string(), expiresAt: At, rootFingerprint: z.string(), enrolLine: z.string() })
export type ClaimView = z.infer<typeof ClaimView>

/** One reason why a site is not updating, and when or by whom it ends. */
export const Blocker = z.object({ code: z.string(), text: z.string(), endsAt: At.nullable(), endsBy: z.string().nullable() })
export type Blocker = z.infer<typeof Blocker>

export const Explanation = z.object({
  site: SiteId,
  summary: z.string(),
  running: ReleaseRef.nullable(),
  rollouts: z.array(z.object({ rollout: RolloutId, name: z.string(), target: z.string(), state: z.enum(deploymentStates), wave: z.string().nullable(), blockers: z.array(Blocker) })),
})
export type Explanation = z.infer<typeof Explanation>

export const siteContracts = {
  createSite: contract({ id: 'createSite', tag: 'Sites', method: 'post', path: '/v1/sites', access: 'operator', summary: 'Add a site and make its claim', idempotencyKey: false, body: SiteSettings.extend({ id: SiteId }), response: z.object({ site: SiteView, claim: ClaimView }), status: 201 }),
  listSites: contract({
    id: 'listSites', tag: 'Sites', method: 'get', path: '/v1/sites', access: 'viewer', summary: 'List sites',
    query: z.strictObject({ ...PageQuery, labelSelector: z.string().max(2000).optional(), presence: z.enum(presences).optional(), release: z.string().max(200).optional() }), response: page(SiteView),
  }),
  getSite: contract({ id: 'getSite', tag: 'Sites', method: 'get', path: '/v1/sites/{site}', access: 'viewer', summary: 'Show a site', params: SiteParams, response: SiteView, etag: true }),
  updateSite: contract({
    id: 'updateSite', tag: 'Sites', method: 'patch', path: '/v1/sites/{site}', access: 'operator', summary: "Change a site's labels, time zone, windows or freezes", params: SiteParams,
    body: z.strictObject({ labels: Labels.optional(), timeZone: TimeZone.optional(), windows: z.array(Window).max(limits.windowsPerSiteMax).optional(), freezes: z.array(Freeze).max(limits.freezesPerSiteMax).optional() }), response: SiteView, etag: true,
  }),
  removeSite: contract({ id: 'removeSite', tag: 'Sites', method: 'delete', path: '/v1/sites/{site}', access: 'operator', summary: 'Remove a site; its agent loses access', params: SiteParams, response: z.null(), status: 204, etag: true }),
  claimSite: contract({ id: 'claimSite', tag: 'Sites', method: 'post', path: '/v1/sites/{site}/claim', access: 'operator', summary: 'Make a new claim, for a lost one or a replaced site', idempotencyKey: false, params: SiteParams, response: ClaimView, status: 201 }),
  explainSite: contract({ id: 'explainSite', tag: 'Sites', method: 'get', path: '/v1/sites/{site}/explain', access: 'viewer', summary: 'Why is this site not updating?', params: SiteParams, response: Explanation }),
} as const

