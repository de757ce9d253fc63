import * as z from 'zod'
import { limits } from '../../protocol/limits.ts'
import { MetricBlock, type NodeMetrics } from '../../protocol/metrics.ts'

/** Samples of all blocks one after the other, each as its difference to the one before that was known: `lengths` parts them again. */
const Column = z.object({ lengths: z.array(z.int()), deltas: z.array(z.int().nullable()) })
type Column = z.infer<typeof Column>
/** `blocks` says in which of the blocks it is. */
const OfBlocks = z.object({ blocks: z.array(z.int()), ...Column.shape })

const Columns = z.object({
  v: z.literal(1),
  blocks: z.array(z.object({ startMs: z.int(), stepS: z.int() })).max(limits.metricSlots),
  nodes: z.array(z.object({
    node: z.string(), blocks: z.array(z.int()), memoryBytes: z.array(z.int().nullable()), cpu: Column, memory: Column, received: Column, sent: Column, pods: OfBlocks,
    filesystems: z.array(z.object({ path: z.string(), sizes: z.array(z.int()), ...OfBlocks.shape })),
  })),
})
type Columns = z.infer<typeof Columns>

type Series = readonly (number | null)[]

/** Blocks of one site as columns: numbers that are alike come to stand together, which is what compresses. Nodes and paths are once in a block. */
export function toColumns(blocks: readonly MetricBlock[]): Columns {
  const placed = blocks.flatMap((block, i) => block.nodes.map((node) => ({ i, node })))
  const nodes = [...Map.groupBy(placed, ({ node }) => node.node)].map(([node, places]) => {
    const column = (series: (node: NodeMetrics) => Series): Column => columnOf(places.map((place) => series(place.node)))
    const withPods = places.flatMap(({ i, node: { pods } }) => (pods === undefined ? [] : [{ i, pods }]))
    const filesystems = [...Map.groupBy(places.flatMap(({ i, node: { filesystems: all } }) => all.map((filesystem) => ({ i, ...filesystem }))), ({ path }) => path)]
    return {
      node, blocks: places.map(({ i }) => i), memoryBytes: places.map((place) => place.node.memoryBytes), cpu: column(({ cpu }) => cpu), memory: column(({ memory }) => memory),
      received: column(({ received }) => received), sent: column(({ sent }) => sent), pods: { blocks: withPods.map(({ i }) => i), ...columnOf(withPods.map(({ pods }) => pods)) },
      filesystems: filesystems.map(([path, same]) => ({ path, blocks: same.map(({ i }) => i), sizes: same.map(({ sizeBytes }) => sizeBytes), ...columnOf(same.map(({ used }) => used)) })),
    }
  })
  return { v: 1, blocks: blocks.map(({ startMs, stepS }) => ({ startMs, stepS })), nodes }
}

/** The blocks that `toColumns` made columns of. Throws for what it cannot have made: nothing of it can be believed then. */
export function fromColumns(value: unknown): MetricBlock[] {
  const columns = Columns.parse(value)
  const blocks = columns.blocks.map((head) => ({ ...head, nodes: [] as unknown[] }))
  for (const node of columns.nodes) {
    const series = { cpu: seriesOf(node.cpu), memory: seriesOf(node.memory), received: seriesOf(node.received), sent: seriesOf(node.sent) }
    const pods = new Map(seriesOf(node.pods).map((samples, k) => [node.pods.blocks[k], samples]))
    const filesystems = Map.groupBy(node.filesystems.flatMap(({ path, blocks: places, sizes, ...column }) => seriesOf(column).map((used, k) => ({ i: places[k], filesystem: { path, sizeBytes: sizes[k], used } }))), ({ i }) => i)
    for (const [k, i] of node.blocks.entries()) {
      blocks[i]?.nodes.push({
        node: node.node, cpu: series.cpu[k], memory: series.memory[k], memoryBytes: node.memoryBytes[k], received: series.received[k], sent: series.sent[k],
        filesystems: (filesystems.get(i) ?? []).map(({ filesystem }) => filesystem), ...(pods.has(i) ? { pods: pods.get(i) } : {}),
      })
    }
  }
  return z.array(MetricBlock).parse(blocks)
}

function columnOf(parts: readonly Series[]): Column {
  let before = 0
  const deltas = parts.flat().map((value) => {
    if (value === null) return null
    const delta = value - before
    before = value
    return delta
  })
  return { lengths: parts.map((part) => part.length), deltas }
}

function seriesOf({ lengths, deltas }: Column): (number | null)[][] {
  let value = 0
  let from = 0
  const all = deltas.map((delta) => (delta === null ? null : (value += delta)))
  return lengths.map((length) => all.slice(from, (from += length)))
}
