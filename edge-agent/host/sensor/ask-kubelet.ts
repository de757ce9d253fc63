import * as z from 'zod'
import type { FilesystemSample, NodeSample } from '../sensors.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

const Count = z.int().nonnegative().nullish().catch(null)
const Moment = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)).nullish().catch(null)
const Fs = z.object({ capacityBytes: Count, usedBytes: Count, availableBytes: Count, inodes: Count, inodesFree: Count }).nullish().catch(null)
const Interface = z.object({ name: z.string().max(64), rxBytes: Count, txBytes: Count })

/** `/stats/summary` of a kubelet (its API v1alpha1), as far as it is about the node. */
const Summary = z.object({
  node: z.object({
    // nanoseconds of years are more than a number holds exactly, and nobody needs the last ones
    cpu: z.object({ time: Moment, usageCoreNanoSeconds: z.number().nonnegative().nullish().catch(null) }).nullish().catch(null),
    memory: z.object({ availableBytes: Count, workingSetBytes: Count }).nullish().catch(null),
    network: z.object({ time: Moment, name: z.string().nullish(), interfaces: z.array(Interface).nullish().catch(null) }).nullish().catch(null),
    fs: Fs,
    runtime: z.object({ imageFs: Fs }).nullish().catch(null),
  }),
  pods: z.array(z.unknown()).nullish().catch(null),
})
type Summary = z.infer<typeof Summary>
const Capacity = z.object({ status: z.object({ capacity: z.object({ cpu: z.string().regex(/^\d{1,6}$/).transform(Number) }) }) })

export type KubeletSample = Omit<NodeSample, 'node' | 'unread'>

/** Busy time is told, idle time is not: it is what of all processors' time since 1970 was not busy, which is good for differences. */
function cpuOf(cpu: Summary['node']['cpu'], processors: number | null): NodeSample['cpu'] {
  if (cpu?.usageCoreNanoSeconds == null || cpu.time == null || processors === null || processors === 0) return null
  return { busyMs: cpu.usageCoreNanoSeconds / 1e6, totalMs: cpu.time * processors }
}

function memoryOf(memory: Summary['node']['memory']): NodeSample['memory'] {
  if (memory?.availableBytes == null || memory.workingSetBytes == null) return null
  return { totalBytes: memory.availableBytes + memory.workingSetBytes, availableBytes: memory.availableBytes }
}

/** The kubelet names its two filesystems by what they are for, not by where they are. */
function filesystemsOf({ fs, runtime }: Summary['node']): FilesystemSample[] {
  const found: FilesystemSample[] = []
  for (const [name, each] of [['nodefs', fs], ['imagefs', runtime?.imageFs]] as const) {
    if (each?.capacityBytes == null || each.availableBytes == null || each.capacityBytes === 0) continue
    const usedBytes = Math.max(0, each.capacityBytes - each.availableBytes)
    const inodes = each.inodes == null || each.inodesFree == null || each.inodes === 0 ? null : { total: each.inodes, available: each.inodesFree }
    // usually both are one
    if (found.some((other) => other.sizeBytes === each.capacityBytes && other.inodes?.total === inodes?.total)) continue
    found.push({ path: `/${name}`, device: name, sizeBytes: each.capacityBytes, usedBytes, availableBytes: each.availableBytes, inodes })
  }
  return found
}

function interfacesOf(network: Summary['node']['network']): NodeSample['interfaces'] {
  return (network?.interfaces ?? []).slice(0, 256).map(({ name, rxBytes, txBytes }) => ({ name, up: null, hasDevice: name === network?.name, receivedBytes: rxBytes ?? null, sentBytes: txBytes ?? null }))
}

const pathOf = (node: string): string => `/api/v1/nodes/${encodeURIComponent(node)}`

/** A node by what its kubelet says, through the API server, or null where it says nothing. */
export async function askKubelet(api: KubernetesApi, node: string): Promise<KubeletSample | null> {
  const [answer, about] = await Promise.all([api.get(`${pathOf(node)}/proxy/stats/summary`), api.get(pathOf(node))])
  const summary = Summary.safeParse(answer.ok ? answer.value : null)
  if (!summary.success) return null
  const capacity = Capacity.safeParse(about.ok ? about.value : null)
  const { cpu, memory, network } = summary.data.node
  return {
    countersAtMs: network?.time ?? cpu?.time ?? 0,
    cpu: cpuOf(cpu, capacity.success ? capacity.data.status.capacity.cpu : null), memory: memoryOf(memory),
    filesystems: filesystemsOf(summary.data.node), interfaces: interfacesOf(network), pods: summary.data.pods?.length ?? null,
  }
}

/** How many pods run on a node, or null where its kubelet does not say. */
export async function countPods(api: KubernetesApi, node: string): Promise<number | null> {
  const answer = await api.get(`${pathOf(node)}/proxy/stats/summary?only_cpu_and_memory=true`)
  const summary = Summary.pick({ pods: true }).safeParse(answer.ok ? answer.value : null)
  return summary.success ? (summary.data.pods?.length ?? null) : null
}
