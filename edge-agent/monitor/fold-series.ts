import { utf8 } from '../../protocol/bytes.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { LiveSample, MetricBlock, NodeMetrics } from '../../protocol/metrics.ts'
import type { NodeUsage } from './measure-usage.ts'

/** Samples that fell into one step: their mean is what counts. */
type Step = { sum: number; count: number }
type Series = (Step | undefined)[]
const rateNames = ['cpu', 'memory', 'received', 'sent', 'pods'] as const
type NodeSeries = Record<(typeof rateNames)[number], Series> & { memoryBytes: number | null; filesystems: Map<string, { sizeBytes: number; used: Series }> }

/** A block that still grows. */
export type OpenBlock = { startMs: number; stepS: number; steps: number; nodes: Map<NodeName, NodeSeries> }

/** Beyond any network or node there is: a number above it was measured wrongly. */
const most = { cpu: 100, memory: 100, received: 1e12, sent: 1e12, pods: 9_999 } as const

export const blockStartOf = (wallMs: number): number => Math.floor(wallMs / limits.metricBlockMs) * limits.metricBlockMs

/** A step is a minute, or as long as the time between two samples where that is longer. */
export function openBlock(startMs: number, everyS: number): OpenBlock {
  const stepS = Math.max(60, everyS)
  return { startMs, stepS, steps: Math.ceil(limits.metricBlockMs / 1000 / stepS), nodes: new Map() }
}

function take(series: Series, step: number, value: number | null, atMost: number): void {
  if (value === null || !Number.isFinite(value) || value < 0 || value > atMost) return
  const before = series[step]
  series[step] = { sum: (before?.sum ?? 0) + value, count: (before?.count ?? 0) + 1 }
}

/** Takes a sample into a block, in place. A node or a filesystem beyond what a block holds is left out; of filesystems the fullest are taken first. */
export function addToBlock(block: OpenBlock, usages: readonly NodeUsage[], wallMs: number): void {
  const step = Math.min(block.steps - 1, Math.max(0, Math.floor((wallMs - block.startMs) / (block.stepS * 1000))))
  for (const usage of usages) {
    const node = block.nodes.get(usage.node) ?? { cpu: [], memory: [], received: [], sent: [], pods: [], memoryBytes: null, filesystems: new Map() }
    if (!block.nodes.has(usage.node) && block.nodes.size >= limits.nodesPerSiteMax) continue
    block.nodes.set(usage.node, node)
    for (const name of rateNames) take(node[name], step, usage[name], most[name])
    node.memoryBytes = countOf(usage.memoryBytes) ?? node.memoryBytes
    for (const { path, sizeBytes, used } of usage.filesystems.toSorted((a, b) => b.used - a.used)) {
      const known = node.filesystems.get(path)
      const size = countOf(sizeBytes)
      if (size === null || (known === undefined && node.filesystems.size >= limits.filesystemsPerNodeMax)) continue
      const filesystem = { sizeBytes: size, used: known?.used ?? [] }
      take(filesystem.used, step, used, 100)
      node.filesystems.set(path, filesystem)
    }
  }
}

const countOf = (value: number | null): number | null => (value !== null && Number.isSafeInteger(Math.round(value)) && value >= 0 ? Math.round(value) : null)
/** `scale` 10 makes permille of percent. */
const meansOf = (series: Series, steps: number, scale = 1): (number | null)[] => Array.from({ length: steps }, (_, i) => (series[i] === undefined ? null : Math.round((series[i].sum / series[i].count) * scale)))

function metricsOf(nodes: OpenBlock['nodes'], steps: number): NodeMetrics[] {
  return [...nodes].map(([node, series]) => ({
    node, cpu: meansOf(series.cpu, steps, 10), memory: meansOf(series.memory, steps, 10), memoryBytes: series.memoryBytes,
    filesystems: [...series.filesystems].map(([path, { sizeBytes, used }]) => ({ path, sizeBytes, used: meansOf(used, steps, 10) })),
    received: meansOf(series.received, steps), sent: meansOf(series.sent, steps),
    ...(series.pods.length > 0 ? { pods: meansOf(series.pods, steps) } : {}),
  }))
}

const sizeBytesOf = (value: unknown): number => utf8(JSON.stringify(value)).length + 1
const fullnessOf = (used: readonly (number | null)[]): number => used.reduce<number>((most, each) => Math.max(most, each ?? -1), -1)

/** Leaves out the emptiest filesystems, of whichever node, until the rest is no longer than a block may be. */
function fit(nodes: NodeMetrics[]): NodeMetrics[] {
  let sizeBytes = sizeBytesOf(nodes) + 100
  if (sizeBytes <= limits.metricBlockBytesMax) return nodes
  const emptiestFirst = nodes.flatMap(({ filesystems }) => filesystems).sort((a, b) => fullnessOf(a.used) - fullnessOf(b.used))
  const leftOut = new Set<NodeMetrics['filesystems'][number]>()
  for (const filesystem of emptiestFirst) {
    if (sizeBytes <= limits.metricBlockBytesMax) break
    leftOut.add(filesystem)
    sizeBytes -= sizeBytesOf(filesystem)
  }
  return nodes.map((node) => ({ ...node, filesystems: node.filesystems.filter((each) => !leftOut.has(each)) }))
}

/** The block as it is reported. */
export const closeBlock = (block: OpenBlock): MetricBlock => ({ startMs: block.startMs, stepS: block.stepS, nodes: fit(metricsOf(block.nodes, block.steps)) })

/** One sample as a live view gets it. */
export function liveSampleOf(usages: readonly NodeUsage[], wallMs: number): LiveSample {
  const one: OpenBlock = { startMs: wallMs, stepS: 1, steps: 1, nodes: new Map() }
  addToBlock(one, usages, wallMs)
  return { atMs: wallMs, nodes: fit(metricsOf(one.nodes, 1)) }
}
