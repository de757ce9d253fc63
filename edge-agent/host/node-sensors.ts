import { ok, refuse } from '../../protocol/result.ts'
import { resolveInRoot } from '../driver/resolve-in-root.ts'
import { onNode, type Node } from '../node/node.ts'
import type { Clock } from './host.ts'
import { nodeClock } from './node-clock.ts'
import { nodeFiles } from './node-files.ts'
import { askKubelet, countPods } from './sensor/ask-kubelet.ts'
import { askKubernetes } from './sensor/ask-kubernetes.ts'
import { askSystemd } from './sensor/ask-systemd.ts'
import { createTimeServers } from './sensor/ask-time.ts'
import { createKernel, type Kernel } from './sensor/kernel.ts'
import { createKubernetes, type KubernetesApi } from './sensor/kubernetes-api.ts'
import { createDirectoryScale } from './sensor/measure-directory.ts'
import { readCertificate } from './sensor/read-certificate.ts'
import { readCpu, readInterfaces, readMemory } from './sensor/read-counters.ts'
import { readDisks } from './sensor/read-disks.ts'
import { createFilesystemReader, type ReadFilesystem } from './sensor/read-filesystem.ts'
import { readMounts } from './sensor/read-mounts.ts'
import type { NodeSample, Sensors } from './sensors.ts'

const certificateBytesMax = 1024 * 1024

type Found = Pick<NodeSample, 'filesystems' | 'unread'>

/** `at` is where this process finds it. */
async function readEach(read: ReadFilesystem, mounts: readonly { path: string; device: string; at: string }[]): Promise<Found> {
  const found: Found = { filesystems: [], unread: [] }
  for (const { path, device, at } of mounts) {
    const answer = await read(at)
    if (!answer.ok) found.unread.push({ path, why: answer.refusal })
    else if (answer.value !== null) found.filesystems.push({ path, device, ...answer.value })
  }
  return found
}

const allFilesystems = async (kernel: Kernel, read: ReadFilesystem): Promise<Found> =>
  readEach(read, (await readMounts(kernel)).map(({ path, device }) => ({ path, device, at: kernel.at(path) })))

/** Of a node that is a directory: what that is on. */
const rootFilesystem = ({ root }: Node, read: ReadFilesystem): Promise<Found> => readEach(read, [{ path: '/', device: root, at: root }])

const nothingKnown = { countersAtMs: 0, cpu: null, memory: null, filesystems: [], unread: [], interfaces: [], pods: null }

async function sampleHere(kernel: Kernel, read: ReadFilesystem, clock: Clock, node: Node, api: KubernetesApi | null): Promise<NodeSample> {
  const [cpu, memory, interfaces, found, pods] = await Promise.all([
    readCpu(kernel), readMemory(kernel), readInterfaces(kernel), node.root === '/' ? allFilesystems(kernel, read) : rootFilesystem(node, read), api === null ? null : countPods(api, node.name),
  ])
  return { node: node.name, countersAtMs: clock.monotonicMs(), cpu, memory, ...found, interfaces, pods }
}

async function sampleThere(read: ReadFilesystem, node: Node, api: KubernetesApi | null): Promise<NodeSample> {
  const told = api === null ? null : await askKubelet(api, node.name)
  const found = told === null && node.root !== '/' ? await rootFilesystem(node, read) : {}
  return { node: node.name, ...nothingKnown, ...told, ...found }
}

/** All of this process, however many agents it has, shares its threads. */
const readHere = createFilesystemReader()

/**
 * What this machine's kernel, its systemd, its Kubernetes and time servers say. `root` is where the kernel's files are, `/` but in tests;
 * `kubeconfig` null means the usual ones.
 */
export function createNodeSensors({ root = '/', kubeconfig = null, clock = nodeClock, readFilesystem = readHere }: { root?: string; kubeconfig?: string | null; clock?: Clock; readFilesystem?: ReadFilesystem } = {}): Sensors {
  const kernel = createKernel(root)
  const measureDirectory = createDirectoryScale()
  const timeServers = createTimeServers(clock)
  const openKubernetes = createKubernetes(kernel, kubeconfig)
  /** Whatever is asked of a disk that hangs takes a thread for good. */
  const hangs = async (path: string): Promise<boolean> => {
    const found = await readFilesystem(path)
    return !found.ok && (found.refusal === 'no-answer' || found.refusal === 'not-asked')
  }
  return {
    async sample(nodes, ask) {
      const opened = ask.kubernetes ? await openKubernetes() : null
      const api = opened?.ok === true ? opened.value : null
      return Promise.all(nodes.map((node) => (node.hasAgent ? sampleHere(kernel, readFilesystem, clock, node, api) : sampleThere(readFilesystem, node, api))))
    },
    async directoryBytes(node, path) {
      if (await hangs(onNode(node, path))) return refuse('the disk does not answer')
      const resolved = await resolveInRoot(nodeFiles, node, path, true).then(ok, () => refuse('it cannot be reached'))
      return resolved.ok ? measureDirectory(resolved.value) : resolved
    },
    failedUnits: () => askSystemd(kernel),
    disks: () => readDisks(kernel),
    clockOffsetMs: (servers) => timeServers.offsetMs(servers),
    async certificate(from) {
      if ('path' in from && (await hangs(kernel.at(from.path)))) return refuse('the disk does not answer')
      const pem = 'pem' in from ? from.pem : await kernel.text(from.path, certificateBytesMax)
      return pem === null ? refuse('it cannot be read') : readCertificate(pem)
    },
    async kubernetes(namespaces) {
      const opened = await openKubernetes()
      return opened?.ok === true ? askKubernetes(opened.value, namespaces) : opened
    },
  }
}
