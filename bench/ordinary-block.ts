import type { NodeName } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { MetricBlock, NodeMetrics } from '../protocol/metrics.ts'

const minuteMs = 60_000

/** A quarter of an hour as an ordinary site has it: nothing stands still, and nothing jumps. */
export function ordinaryBlock(nodes: number, startMs: number, seed: number): MetricBlock {
  const samples = limits.metricBlockMs / minuteMs
  const wave = (base: number, swing: number, phase: number) => Array.from({ length: samples }, (_, i) => Math.round(base + swing * Math.sin((startMs / minuteMs + i + phase) / 97)))
  return {
    startMs, stepS: 60,
    nodes: Array.from({ length: nodes }, (_, n): NodeMetrics => ({
      node: `node-${n}` as NodeName, cpu: wave(300, 150, seed + n), memory: wave(550, 40, seed), memoryBytes: 64e9,
      filesystems: [['/', 100e9, 400], ['/var', 400e9, 620], ['/var/lib/containerd', 400e9, 510]].map(([path, sizeBytes, used]) => ({ path: String(path), sizeBytes: Number(sizeBytes), used: wave(Number(used), 2, seed) })),
      received: wave(2e6, 1e6, seed), sent: wave(1e6, 5e5, seed), pods: wave(40, 3, n),
    })),
  }
}
