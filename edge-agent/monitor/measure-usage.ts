import type { InterfaceSample, NodeSample } from '../host/sensors.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Watch } from './watch.ts'

/** What of a node is in use, from two samples of it. Shares are percent, network bytes a second over all watched interfaces; null where it cannot be told. */
export type NodeUsage = {
  node: NodeName
  cpu: number | null
  memory: number | null
  memoryBytes: number | null
  filesystems: { path: string; sizeBytes: number; used: number; usedInodes: number | null }[]
  received: number | null
  sent: number | null
  pods: number | null
}

/** A share in percent, if it is one. */
const percent = (part: number, whole: number): number | null => (whole > 0 && part >= 0 && part <= whole ? (100 * part) / whole : null)

/** Names that count as the node's own network: those that are named, else those with a device; never those to be ignored. */
const isWatched = ({ name, hasDevice }: InterfaceSample, { watch, ignore }: Watch['interfaces']): boolean => !ignore.includes(name) && (watch === undefined ? hasDevice : watch.includes(name))

function rateOf(before: NodeSample, after: NodeSample, counter: 'receivedBytes' | 'sentBytes', interfaces: Watch['interfaces']): number | null {
  const spanMs = after.countersAtMs - before.countersAtMs
  if (!(spanMs > 0)) return null
  const grown = after.interfaces.filter((each) => isWatched(each, interfaces)).flatMap((each) => {
    const [earlier, later] = [before.interfaces.find(({ name }) => name === each.name)?.[counter] ?? null, each[counter]]
    // a counter that fell was reset: the interface came up anew
    return earlier === null || later === null || later < earlier ? [] : [later - earlier]
  })
  return grown.length === 0 ? null : (grown.reduce((sum, bytes) => sum + bytes, 0) * 1000) / spanMs
}

/** Of one mount point the topmost; those without a size or with a path that reports have no room for are left out. */
function filesystemsOf(sample: NodeSample): NodeUsage['filesystems'] {
  const byPath = new Map(sample.filesystems.flatMap(({ path, sizeBytes, usedBytes, availableBytes, inodes }) => {
    const used = percent(usedBytes, usedBytes + availableBytes)
    const usedInodes = inodes === null ? null : percent(inodes.total - inodes.available, inodes.total)
    return used === null || path === '' || path.length > limits.mountPathMax ? [] : [[path, { path, sizeBytes, used, usedInodes }] as const]
  }))
  return [...byPath.values()]
}

/** `before` is the sample before of the same node; undefined: there is none, and rates cannot be told. Pure. */
export function measureUsage(before: NodeSample | undefined, after: NodeSample, watch: Watch): NodeUsage {
  const cpu = before?.cpu && after.cpu ? percent(after.cpu.busyMs - before.cpu.busyMs, after.cpu.totalMs - before.cpu.totalMs) : null
  return {
    node: after.node, cpu,
    memory: after.memory === null ? null : percent(after.memory.totalBytes - after.memory.availableBytes, after.memory.totalBytes),
    memoryBytes: after.memory?.totalBytes ?? null,
    filesystems: filesystemsOf(after),
    received: before === undefined ? null : rateOf(before, after, 'receivedBytes', watch.interfaces),
    sent: before === undefined ? null : rateOf(before, after, 'sentBytes', watch.interfaces),
    pods: after.pods,
  }
}
