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

/** The samples of all nodes at one moment of the monotonic clock. */
type Taken = { atMs: number; byNode: ReadonlyMap<string, NodeSample> }
const nothing: Taken = { atMs: Number.NEGATIVE_INFINITY, byNode: new Map() }

/** Counters grow in ticks of the kernel: over less than this a live view would see the ticks and not the load. */
const apartMs = 500

export function createNodeWatch(parts: NodeWatchParts): NodeWatch {
  const { clock, sensors, nodes } = parts
  let before = nothing
  let recent: readonly Taken[] = []
  let block: OpenBlock | null = null

  async function take(watch: Watch): Promise<{ samples: NodeSample[]; taken: Taken; since(earlier: Taken): NodeUsage[] }> {
    const samples = await sensors.sample(nodes, { kubernetes: watch.kubernetes.enabled })
    const taken = { atMs: clock.monotonicMs(), byNode: new Map(samples.map((sample) => [sample.node, sample])) }
    recent = [...recent, taken].slice(-3)
    return { samples, taken, since: (earlier) => samples.map((sample) => measureUsage(earlier.byNode.get(sample.node), sample, watch)) }
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
      const { samples, taken, since } = await take(watch)
      const usages = since(before)
      before = taken
      const seen = seeInterfaces(parts.interfaces(), samples)
      if (seen !== parts.interfaces()) await parts.interfacesSeen(seen)
      await keep(usages, watch)
      return judgeNodes(samples, usages, watch, seen)
    },
    async live(watch) {
      const { taken, since } = await take(watch)
      return liveSampleOf(since(recent.findLast(({ atMs }) => taken.atMs - atMs >= apartMs) ?? nothing), Math.max(0, Math.round(clock.nowMs())))
    },
  }
}
