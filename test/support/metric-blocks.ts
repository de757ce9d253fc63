import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { MetricBlock, type NodeMetrics } from '../../protocol/metrics.ts'

export const blockMs = limits.metricBlockMs
export const blockStart = (timeMs: number): number => Math.floor(timeMs / blockMs) * blockMs

type Level = { cpu?: number | null; memory?: number; received?: number; sent?: number; pods?: number; used?: Record<string, number>; sizeBytes?: number }

/** A node that was the same for the whole of a quarter of an hour. */
export function steadyNode(name: string, level: Level = {}): NodeMetrics {
  const { cpu = 100, memory = 400, received = 1000, sent = 500, pods = 10, used = { '/': 300 }, sizeBytes = 1_000_000_000 } = level
  const series = (value: number | null) => Array.from({ length: 15 }, () => value)
  return {
    node: name as NodeName, cpu: series(cpu), memory: series(memory), memoryBytes: 8_000_000_000, received: series(received), sent: series(sent), pods: series(pods),
    filesystems: Object.entries(used).map(([path, permille]) => ({ path, sizeBytes, used: series(permille) })),
  }
}
export const steadyBlock = (startMs: number, ...nodes: NodeMetrics[]): MetricBlock => ({ startMs, stepS: 60, nodes })

/** A block with all that a schema allows: holes, nodes and filesystems that come and go, other steps. `next` gives fractions. */
export function arbitraryBlock(startMs: number, next: () => number): MetricBlock {
  const pick = (count: number): number => Math.floor(next() * count)
  const stepS = [60, 60, 60, 30, 90][pick(5)]!
  const length = Math.ceil(900 / stepS)
  const series = (most: number) => Array.from({ length: pick(4) === 0 ? pick(length + 1) : length }, () => (pick(6) === 0 ? null : pick(most)))
  const names = ['alpha', 'beta', 'gamma'].filter(() => pick(4) > 0)
  return MetricBlock.parse({
    startMs, stepS,
    nodes: names.map((node) => ({
      node, cpu: series(1001), memory: series(1001), memoryBytes: pick(3) === 0 ? null : pick(2 ** 40), received: series(2 ** 45), sent: series(2 ** 30), ...(pick(2) === 0 ? { pods: series(200) } : {}),
      filesystems: ['/', '/var', '/data "x"'].filter(() => pick(3) > 0).map((path) => ({ path, sizeBytes: pick(2 ** 42), used: series(1001) })),
    })),
  })
}
