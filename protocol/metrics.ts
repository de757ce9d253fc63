import * as z from 'zod'
import { NodeName, TimeMs } from './ids.ts'
import { limits } from './limits.ts'

/** One sample a minute; null where there was none. Times of a series are `startMs + i * stepS * 1000`. */
const series = <T extends z.ZodType>(sample: T) => z.array(sample.nullable()).max(limits.samplesPerBlockMax)
const Permille = z.int().min(0).max(1000)
const Count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

/** A node's series. Shares are in permille of what there is, sizes in bytes, network in bytes a second over all watched interfaces. */
export const NodeMetrics = z.object({
  node: NodeName,
  cpu: series(Permille),
  memory: series(Permille),
  memoryBytes: Count.nullable(),
  filesystems: z.array(z.object({ path: z.string().min(1).max(limits.mountPathMax), sizeBytes: Count, used: series(Permille) })).max(limits.filesystemsPerNodeMax),
  received: series(Count),
  sent: series(Count),
  /** Running pods; absent where there is no Kubernetes. */
  pods: series(Count).optional(),
})
export type NodeMetrics = z.infer<typeof NodeMetrics>

/** A quarter of an hour of a site: `startMs` is a multiple of `metricBlockMs`. */
export const MetricBlock = z.object({
  startMs: TimeMs.multipleOf(limits.metricBlockMs),
  stepS: z.int().min(1).max(3600),
  nodes: z.array(NodeMetrics).max(limits.nodesPerSiteMax),
})
export type MetricBlock = z.infer<typeof MetricBlock>

/** What a live view gets every few seconds: each series has one sample. */
export const LiveSample = z.object({ atMs: TimeMs, nodes: z.array(NodeMetrics).max(limits.nodesPerSiteMax) })
export type LiveSample = z.infer<typeof LiveSample>
