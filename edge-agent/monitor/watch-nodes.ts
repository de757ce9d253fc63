import type { LiveSample, MetricBlock } from '../../protocol/metrics.ts'
import type { Clock } from '../host/host.ts'
import type { NodeSample, Sensors } from '../host/sensors.ts'
import type { Node } from '../node/node.ts'
import { addToBlock, blockStartOf, closeBlock, liveSampleOf, openBlock, type OpenBlock } from './fold-series.ts'
import type { Looked } from './judge.ts'
import { judgeNodes, seeInterfaces, type SeenInterfaces } from './judge-nodes.ts'
import { measureUsage, type NodeUsage } from './measure-usage.ts'
import type { Watch } from './watch.ts'

export type NodeWatchParts = {
  clock: Clock
  sensors: Sensors
  nodes: readonly Node[]
  interfaces(): SeenInterfaces
  /** Interfaces came up that never were before. */
  interfacesSeen(seen: SeenInterfaces): Promise<void>
  /** A quarter of an hour is over. */
  blockDone(block: MetricBlock): Promise<void>
}

/** The samples of the nodes: judged, and kept as series until their quarter of an hour is over. */
export interface NodeWatch {
  look(watch: Watch): Promise<Looked>
  /** A sample beside the others, for a live view. */
  live(watch: Watch): Promise<LiveSample>
}

type Samples = ReadonlyMap<string, NodeSample>

export function createNodeWatch(parts: NodeWatchParts): NodeWatch {
  const { clock, sensors, nodes } = parts
  let before: Samples = new Map()
  let liveBefore: Samples = new Map()
  let block: OpenBlock | null = null

  async function measure(earlier: Samples, watch: Watch): Promise<{ samples: NodeSample[]; usages: NodeUsage[]; byNode: Samples }> {
    const samples = await sensors.sample(nodes, { kubernetes: watch.kubernetes.enabled })
    return { samples, usages: samples.map((sample) => measureUsage(earlier.get(sample.node), sample, watch)), byNode: new Map(samples.map((sample) => [sample.node, sample])) }
  }

  /** A block ends when a sample of another comes; a clock that was set ends it too. */
  async function keep(usages: readonly NodeUsage[], watch: Watch): Promise<void> {
    const nowMs = Math.max(0, Math.round(clock.nowMs()))
    const done = block !== null && block.startMs !== blockStartOf(nowMs) ? block : null
    if (block === null || done !== null) block = openBlock(blockStartOf(nowMs), watch.everyS)
    addToBlock(block, usages, nowMs)
    if (done !== null) await parts.blockDone(closeBlock(done))
  }

  return {
    async look(watch) {
      const { samples, usages, byNode } = await measure(before, watch)
      before = liveBefore = byNode
      const seen = seeInterfaces(parts.interfaces(), samples)
      if (seen !== parts.interfaces()) await parts.interfacesSeen(seen)
      await keep(usages, watch)
      return judgeNodes(samples, usages, watch, seen)
    },
    async live(watch) {
      const { usages, byNode } = await measure(liveBefore, watch)
      liveBefore = byNode
      return liveSampleOf(usages, Math.max(0, Math.round(clock.nowMs())))
    },
  }
}
