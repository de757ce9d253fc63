import { ok, refuse } from '../../protocol/result.ts'
import { resolveInRoot } from '../driver/resolve-in-root.ts'
import type { Node } from '../node/node.ts'
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
import { readFilesystem } from './sensor/read-filesystem.ts'
import { readMounts } from './sensor/read-mounts.ts'
import type { FilesystemSample, NodeSample, Sensors } from './sensors.ts'

const certificateBytesMax = 1024 * 1024

async function allFilesystems(kernel: Kernel): Promise<FilesystemSample[]> {
  const found = await Promise.all((await readMounts(kernel)).map(async ({ path, device }) => {
    const facts = await readFilesystem(kernel.at(path))
    return facts === null ? null : { path, device, ...facts }
  }))
  return found.filter((each) => each !== null)
}

/** Of a node that is a directory: what that is on. */
async function rootFilesystem({ root }: Node): Promise<FilesystemSample[]> {
  const facts = await readFilesystem(root)
  return facts === null ? [] : [{ path: '/', device: root, ...facts }]
}

const nothingKnown = { countersAtMs: 0, cpu: null, memory: null, filesystems: [], interfaces: [], pods: null }

async function sampleHere(kernel: Kernel, clock: Clock, node: Node, api: KubernetesApi | null): Promise<NodeSample> {
  const [cpu, memory, interfaces, filesystems, pods] = await Promise.all([
    readCpu(kernel), readMemory(kernel), readInterfaces(kernel), node.root === '/' ? allFilesystems(kernel) : rootFilesystem(node), api === null ? null : countPods(api, node.name),
  ])
  return { node: node.name, countersAtMs: clock.monotonicMs(), cpu, memory, filesystems, interfaces, pods }
}

async function sampleThere(node: Node, api: KubernetesApi | null): Promise<NodeSample> {
  const told = api === null ? null : await askKubelet(api, node.name)
  return { node: node.name, ...(told ?? { ...nothingKnown, filesystems: node.root === '/' ? [] : await rootFilesystem(node) }) }
}

/**
 * What this machine's kernel, its systemd, its Kubernetes and time servers say. `root` is where the kernel's files are, `/` but in tests;
 * `kubeconfig` null means the usual ones.
 */
export function createNodeSensors({ root = '/', kubeconfig = null, clock = nodeClock }: { root?: string; kubeconfig?: string | null; clock?: Clock } = {}): Sensors {
  const kernel = createKernel(root)
  const measureDirectory = createDirectoryScale()
  const timeServers = createTimeServers(clock)
  const openKubernetes = createKubernetes(kernel, kubeconfig)
  return {
    async sample(nodes, ask) {
      const opened = ask.kubernetes ? await openKubernetes() : null
      const api = opened?.ok === true ? opened.value : null
      return Promise.all(nodes.map((node) => (node.hasAgent ? sampleHere(kernel, clock, node, api) : sampleThere(node, api))))
    },
    async directoryBytes(node, path) {
      const resolved = await resolveInRoot(nodeFiles, node, path, true).then(ok, () => refuse('it cannot be reached'))
      return resolved.ok ? measureDirectory(resolved.value) : resolved
    },
    failedUnits: () => askSystemd(kernel),
    disks: () => readDisks(kernel),
    clockOffsetMs: (servers) => timeServers.offsetMs(servers),
    async certificate(from) {
      const pem = 'pem' in from ? from.pem : await kernel.text(from.path, certificateBytesMax)
      return pem === null ? refuse('it cannot be read') : readCertificate(pem)
    },
    async kubernetes(namespaces) {
      const opened = await openKubernetes()
      return opened?.ok === true ? askKubernetes(opened.value, namespaces) : opened
    },
  }
}
