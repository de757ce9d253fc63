import * as z from 'zod'
import { NodeName, SiteId } from '../ids.ts'
import { LiveSample } from '../metrics.ts'
import { At, PageQuery, contract, page } from './contract.ts'
import { Span } from '../time.ts'

const SiteParams = z.strictObject({ site: SiteId })
const range = { from: At.optional(), to: At.optional(), /** Length of a step; the controller makes it longer where the range asks for too much. */ step: Span.optional() }
/** Shares are 0 to 1; null where nothing is known. Each array is as long as `times`. */
const Series = z.array(z.number().nullable())
const usage = { cpu: Series, cpuMax: Series, memory: Series, receivedBytesPerS: Series, sentBytesPerS: Series, pods: Series }

const NodeUsage = z.object({ node: NodeName, ...usage, memoryBytes: z.int().nullable(), filesystems: z.array(z.object({ path: z.string(), sizeBytes: z.int(), used: Series })) })
export type NodeUsage = z.infer<typeof NodeUsage>
export const SiteUsage = z.object({ site: SiteId, from: At, to: At, stepMs: z.int(), times: z.array(At), ...usage, nodes: z.array(NodeUsage) })
export type SiteUsage = z.infer<typeof SiteUsage>

/** All sites that share a value of a label (`value` null: those without it, or the whole fleet). `sites` and `nodes`: the most that said something at one time. */
const UsageGroup = z.object({ value: z.string().nullable(), sites: z.int(), nodes: z.int(), ...usage, fullestFilesystem: Series })
export type UsageGroup = z.infer<typeof UsageGroup>
export const FleetUsage = z.object({ from: At, to: At, stepMs: z.int(), times: z.array(At), groups: z.array(UsageGroup) })
export type FleetUsage = z.infer<typeof FleetUsage>

/** How full a site is. `daysLeft`: until its first filesystem is full if it goes on as in the last days; null: it does not fill. */
export const CapacityView = z.object({ site: SiteId, node: NodeName, path: z.string(), used: z.number(), sizeBytes: z.int(), growthBytesPerDay: z.number().nullable(), daysLeft: z.number().nullable(), measuredAt: At })
export type CapacityView = z.infer<typeof CapacityView>

export const usageContracts = {
  getSiteUsage: contract({ id: 'getSiteUsage', tag: 'Usage', method: 'get', path: '/v1/sites/{site}/usage', access: 'viewer', summary: "A site's and its nodes' resources over time; the last day unless said otherwise", params: SiteParams, query: z.strictObject({ ...range, node: NodeName.optional() }), response: SiteUsage }),
  getFleetUsage: contract({ id: 'getFleetUsage', tag: 'Usage', method: 'get', path: '/v1/usage', access: 'viewer', summary: 'Resources of all sites, or of those a selector selects, together or by a label', query: z.strictObject({ ...range, labelSelector: z.string().max(2000).optional(), groupBy: z.string().max(317).optional() }), response: FleetUsage }),
  listCapacity: contract({ id: 'listCapacity', tag: 'Usage', method: 'get', path: '/v1/capacity', access: 'viewer', summary: 'The fullest filesystem of each site, fullest or first to be full at the top', query: z.strictObject({ ...PageQuery, order: z.enum(['used', 'days-left']).default('used') }), response: page(CapacityView) }),
  startLive: contract({ id: 'startLive', tag: 'Usage', method: 'post', path: '/v1/sites/{site}/live', access: 'viewer', summary: 'Ask a site for faster samples for a minute; whoever looks asks again', idempotencyKey: false, params: SiteParams, response: z.object({ until: At }), status: 202 }),
  getLive: contract({ id: 'getLive', tag: 'Usage', method: 'get', path: '/v1/sites/{site}/live', access: 'viewer', summary: 'The newest samples of a live view, oldest first', params: SiteParams, response: z.object({ until: At.nullable(), samples: z.array(LiveSample) }) }),
} as const
