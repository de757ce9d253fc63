import type { MetricBlock, NodeMetrics } from '../../protocol/metrics.ts'

/** One filesystem as it was at the end of a block or a day; `used` in permille. */
export type Filesystem = { node: string; path: string; sizeBytes: number; used: number }

/**
 * What a block or a day says of a whole site, small enough to be read for a thousand sites. Shares in permille, network in bytes a
 * second over all nodes, pods of all nodes; null where nothing is known.
 */
export type Summary = {
  nodes: number
  cpu: number | null
  cpuMax: number | null
  memory: number | null
  received: number | null
  sent: number | null
  pods: number | null
  /** How full the fullest filesystem is at the end. */
  full: number | null
}

type Series = readonly (number | null)[]

/** The fullest filesystem at the end of some blocks, and the summary of them. The same blocks in any order give the same. */
export function summarize(blocks: readonly MetricBlock[]): { summary: Summary; fullest: Filesystem | null } {
  const nodes = Map.groupBy(blocks.flatMap((block) => block.nodes), ({ node }) => node)
  const ofNodes = (series: (node: NodeMetrics) => Series | undefined) => [...nodes.values()].map((same) => mean(same.flatMap((node) => series(node) ?? [])))
  const [fullest = null] = filesystemsOf(blocks)
  const cpuMax = blocks.flatMap((block) => block.nodes).flatMap(({ cpu }) => cpu).reduce<number | null>((most, value) => (value === null ? most : Math.max(most ?? 0, value)), null)
  return {
    fullest,
    summary: {
      nodes: nodes.size, cpu: rounded(mean(ofNodes(({ cpu }) => cpu))), cpuMax, memory: rounded(mean(ofNodes(({ memory }) => memory))),
      received: rounded(sum(ofNodes(({ received }) => received))), sent: rounded(sum(ofNodes(({ sent }) => sent))), pods: rounded(sum(ofNodes(({ pods }) => pods))), full: fullest?.used ?? null,
    },
  }
}

/** Every filesystem as it was last seen in these blocks, the fullest first. */
export function filesystemsOf(blocks: readonly MetricBlock[]): Filesystem[] {
  const last = new Map<string, Filesystem>()
  for (const block of [...blocks].sort((a, b) => a.startMs - b.startMs)) {
    for (const { node, filesystems } of block.nodes) {
      for (const { path, sizeBytes, used } of filesystems) {
        const newest = used.findLast((value) => value !== null)
        if (newest !== undefined && newest !== null && sizeBytes > 0) last.set(`${node} ${path}`, { node, path, sizeBytes, used: newest })
      }
    }
  }
  return [...last.values()].sort((a, b) => b.used - a.used || (a.node < b.node ? -1 : a.node > b.node ? 1 : a.path < b.path ? -1 : 1))
}

const known = (series: Series): number[] => series.filter((value) => value !== null)
const sum = (series: Series): number | null => (known(series).length === 0 ? null : known(series).reduce((total, value) => total + value, 0))
const mean = (series: Series): number | null => {
  const total = sum(series)
  return total === null ? null : total / known(series).length
}
const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value))
