import type { NodeUsage } from '../../protocol/http/usage.ts'
import type { MetricBlock, NodeMetrics } from '../../protocol/metrics.ts'
import { stepAt, type Grid } from './grid.ts'

type Series = readonly (number | null)[]
/** Sum, count and most of the samples in each step. */
type Track = { sum: Float64Array; count: Uint32Array; most: Float64Array }
type NodeTracks = { memoryBytes: number | null; cpu: Track; memory: Track; received: Track; sent: Track; pods: Track; filesystems: Map<string, { sizeBytes: number; used: Track }> }

export type Resampler = {
  /** Takes in one block; each block once, in the order of their time. */
  add(block: MetricBlock): void
  nodes(): NodeUsage[]
}

/** Brings the samples of blocks into the steps of a grid: the mean of each step, and for the processor the most. Holds one step's numbers, not the blocks. */
export function createResampler(grid: Grid): Resampler {
  const nodes = new Map<NodeMetrics['node'], NodeTracks>()
  const newTrack = (): Track => ({ sum: new Float64Array(grid.count), count: new Uint32Array(grid.count), most: new Float64Array(grid.count) })

  function take(track: Track, block: MetricBlock, series: Series): void {
    for (const [i, value] of series.entries()) {
      const step = value === null ? null : stepAt(grid, block.startMs + i * block.stepS * 1000)
      if (step === null) continue
      track.sum[step]! += value!
      track.count[step]!++
      track.most[step] = Math.max(track.most[step]!, value!)
    }
  }

  return {
    add(block) {
      for (const node of block.nodes) {
        const tracks = nodes.get(node.node) ?? { memoryBytes: null, cpu: newTrack(), memory: newTrack(), received: newTrack(), sent: newTrack(), pods: newTrack(), filesystems: new Map() }
        nodes.set(node.node, tracks)
        tracks.memoryBytes = node.memoryBytes ?? tracks.memoryBytes
        take(tracks.cpu, block, node.cpu)
        take(tracks.memory, block, node.memory)
        take(tracks.received, block, node.received)
        take(tracks.sent, block, node.sent)
        take(tracks.pods, block, node.pods ?? [])
        for (const { path, sizeBytes, used } of node.filesystems) {
          const filesystem = tracks.filesystems.get(path) ?? { sizeBytes, used: newTrack() }
          tracks.filesystems.set(path, filesystem)
          filesystem.sizeBytes = sizeBytes
          take(filesystem.used, block, used)
        }
      }
    },
    nodes: () =>
      [...nodes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([node, tracks]) => ({
        node, cpu: meansOf(tracks.cpu, share), cpuMax: mostOf(tracks.cpu), memory: meansOf(tracks.memory, share), memoryBytes: tracks.memoryBytes,
        receivedBytesPerS: meansOf(tracks.received, Math.round), sentBytesPerS: meansOf(tracks.sent, Math.round), pods: meansOf(tracks.pods, tenths),
        filesystems: [...tracks.filesystems].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, { sizeBytes, used }]) => ({ path, sizeBytes, used: meansOf(used, share) })),
      })),
  }
}

/** Permille as a share, to four places. */
const share = (permille: number): number => Math.round(permille * 10) / 10_000
export const tenths = (value: number): number => Math.round(value * 10) / 10
const meansOf = ({ sum, count }: Track, round: (value: number) => number): (number | null)[] => Array.from(sum, (total, i) => (count[i] === 0 ? null : round(total / count[i]!)))
const mostOf = ({ most, count }: Track): (number | null)[] => Array.from(most, (value, i) => (count[i] === 0 ? null : share(value)))
