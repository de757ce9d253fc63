import * as z from 'zod'
import { NodeName, SiteId } from '../ids.ts'
import { limits } from '../limits.ts'
import { MonitoringSettings } from '../monitoring.ts'
import { At, PageQuery, contract, page } from './contract.ts'

const RuleName = z.string().max(limits.slugLengthMax).regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and inner hyphens')
const RuleParams = z.strictObject({ rule: RuleName })
const SiteParams = z.strictObject({ site: SiteId })
const decided = { labelSelector: z.string().min(1).max(2000), priority: z.int().min(-1000).max(1000).default(0), settings: MonitoringSettings }

/** Settings for the sites whose labels fit. Where several fit, the higher priority goes over the lower, then the later name. */
export const MonitoringRule = z.object({ name: RuleName, ...decided, version: z.int() })
export type MonitoringRule = z.infer<typeof MonitoringRule>
/**
 * What a site watches: its own settings, the rules that fit it with the lowest in rank first, and what all of it comes to over the defaults. `held`: whether its agent
 * follows that already; null for an agent that cannot. `faults`: why rules and own settings cannot be followed together; then
 * `effective` is null, and the site goes on as before.
 */
export const SiteMonitoring = z.object({
  site: SiteId, own: MonitoringSettings, rules: z.array(z.string()), effective: MonitoringSettings.nullable(), faults: z.array(z.object({ path: z.string(), message: z.string() })), digest: z.string().nullable(), held: z.boolean().nullable(), version: z.int(),
})
export type SiteMonitoring = z.infer<typeof SiteMonitoring>
export const NodeLock = z.object({ node: NodeName, reason: z.string(), by: z.string(), at: At })
export type NodeLock = z.infer<typeof NodeLock>

export const monitoringContracts = {
  putMonitoringRule: contract({ id: 'putMonitoringRule', tag: 'Monitoring', method: 'put', path: '/v1/monitoring/{rule}', access: 'operator', summary: 'What the sites whose labels fit watch, over the defaults', params: RuleParams, body: z.strictObject(decided), response: MonitoringRule }),
  listMonitoringRules: contract({ id: 'listMonitoringRules', tag: 'Monitoring', method: 'get', path: '/v1/monitoring', access: 'viewer', summary: 'List the rules', query: z.strictObject(PageQuery), response: page(MonitoringRule) }),
  removeMonitoringRule: contract({ id: 'removeMonitoringRule', tag: 'Monitoring', method: 'delete', path: '/v1/monitoring/{rule}', access: 'operator', summary: 'Remove a rule', params: RuleParams, response: z.null(), status: 204 }),
  getSiteMonitoring: contract({ id: 'getSiteMonitoring', tag: 'Monitoring', method: 'get', path: '/v1/sites/{site}/monitoring', access: 'viewer', summary: 'What a site watches, and where each setting comes from', params: SiteParams, response: SiteMonitoring }),
  putSiteMonitoring: contract({ id: 'putSiteMonitoring', tag: 'Monitoring', method: 'put', path: '/v1/sites/{site}/monitoring', access: 'operator', summary: "A site's own settings, over all rules; takes effect without a restart", params: SiteParams, body: MonitoringSettings, response: SiteMonitoring }),
  lockNode: contract({ id: 'lockNode', tag: 'Sites', method: 'post', path: '/v1/sites/{site}/nodes/{node}/lock', access: 'operator', summary: 'Somebody works there: alarms that this brings about are not announced, and no deployment starts at the site', params: z.strictObject({ site: SiteId, node: NodeName }), body: z.strictObject({ reason: z.string().min(1).max(limits.reasonLengthMax) }), response: z.object({ locks: z.array(NodeLock) }) }),
  unlockNode: contract({ id: 'unlockNode', tag: 'Sites', method: 'post', path: '/v1/sites/{site}/nodes/{node}/unlock', access: 'operator', summary: 'The work is done', params: z.strictObject({ site: SiteId, node: NodeName }), response: z.object({ locks: z.array(NodeLock) }) }),
} as const
