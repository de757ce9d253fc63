import type { NodeName } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { MetricBlock, NodeMetrics } from '../protocol/metrics.ts'

const minuteMs = 60_000

/** In [-1, 1), equal for equal numbers, and with no order that could be seen: without it a block could be compressed as no real one can. */
function jitterOf(...numbers: readonly number[]): number {
  let mixed = 0
  for (const number of numbers) {
    mixed = Math.imul(mixed ^ number, 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    mixed ^= mixed >>> 16
  }
  return (mixed >>> 0) / 2 ** 31 - 1
}

/** A quarter of an hour as an ordinary site has it: load and network go up and down by chance about a slow wave, memory less, and filesystems fill slowly. */
export function ordinaryBlock(nodes: number, startMs: number, seed: number): MetricBlock {
  const samples = limits.metricBlockMs / minuteMs
  const wave = (base: number, swing: number, phase: number, jitter = 0, series = 0) =>
    Array.from({ length: samples }, (_, i) => Math.round(base + swing * Math.sin((startMs / minuteMs + i + phase) / 97) + jitter * jitterOf(startMs / minuteMs + i, seed, series)))
  return {
    startMs, stepS: 60,
    nodes: Array.from({ length: nodes }, (_, n): NodeMetrics => ({
      node: `node-${n}` as NodeName, cpu: wave(300, 150, seed + n, 60, 5 * n), memory: wave(550, 40, seed, 3, 5 * n + 1), memoryBytes: 64e9,
      filesystems: [['/', 100e9, 400], ['/var', 400e9, 620], ['/var/lib/containerd', 400e9, 510]].map(([path, sizeBytes, used]) => ({ path: String(path), sizeBytes: Number(sizeBytes), used: wave(Number(used), 2, seed) })),
      received: wave(2e6, 1e6, seed, 6e5, 5 * n + 2), sent: wave(1e6, 5e5, seed, 3e5, 5 * n + 3), pods: wave(40, 3, n),
    })),
  }
}
