import { limits } from '../../protocol/limits.ts'
import type { MetricBlock, NodeMetrics } from '../../protocol/metrics.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import { ringMs } from './ring.ts'

/** A site's clock may be so far ahead; behind, it may be as old as the ring is long, for reports wait at sites that are cut off. */
const aheadMsMax = 3_600_000

/**
 * A block as it is kept: each node and each path once (the first counts), and no sample behind the block's end. Refused with a reason
 * where its time cannot be right (F30) or it is too long.
 */
export function judgeBlock(block: MetricBlock, nowMs: number): Result<MetricBlock, 'ahead' | 'too-old' | 'too-long'> {
  if (block.startMs > nowMs + aheadMsMax) return refuse('ahead')
  if (block.startMs + ringMs <= nowMs) return refuse('too-old')
  const samplesMax = Math.ceil(limits.metricBlockMs / 1000 / block.stepS)
  const cut = <T>(series: readonly T[]): T[] => series.slice(0, samplesMax)
  const nodes = firstOf(block.nodes, ({ node }) => node).map((node): NodeMetrics => ({
    ...node, cpu: cut(node.cpu), memory: cut(node.memory), received: cut(node.received), sent: cut(node.sent), ...(node.pods === undefined ? {} : { pods: cut(node.pods) }),
    filesystems: firstOf(node.filesystems, ({ path }) => path).map((filesystem) => ({ ...filesystem, used: cut(filesystem.used) })),
  }))
  const kept = { startMs: block.startMs, stepS: block.stepS, nodes }
  return JSON.stringify(kept).length > limits.metricBlockBytesMax ? refuse('too-long') : ok(kept)
}

function firstOf<T>(items: readonly T[], nameOf: (item: T) => string): T[] {
  const seen = new Set<string>()
  return items.filter((item) => !seen.has(nameOf(item)) && seen.add(nameOf(item)))
}
