import type { NodeName } from '../../protocol/ids.ts'
import type { Result } from '../../protocol/result.ts'
import type { Node } from '../node/node.ts'

/**
 * What can be known about a site's nodes without changing anything. No method throws: what cannot be told is null, or a
 * refusal that says why. All are bounded in time (a minute at most) and in the length of their texts, and none gives a number that is not finite.
 * `sample` is of every node; the others are of the machine that the agent runs on.
 */
export interface Sensors {
  /**
   * Every node of the site, in the order given. The node that has the agent is measured from this machine's kernel (filesystems
   * only of its root where that is not `/`), others from their kubelet where Kubernetes may be asked and knows their name, else from their root directory.
   */
  sample(nodes: readonly Node[], ask: { kubernetes: boolean }): Promise<NodeSample[]>
  /** What the files below a directory of a node take on its disk; other filesystems mounted in it are not counted. `complete` is false where there were too many to count; null: there is no such directory. */
  directoryBytes(node: Node, path: string): Promise<Result<{ sizeBytes: number; complete: boolean }, string> | null>
  /** Units that systemd calls failed. */
  failedUnits(): Promise<Result<FailedUnit[], string>>
  /** What is wrong with disks as far as the kernel says; none where all is well or nothing is said. */
  disks(): Promise<DiskFinding[]>
  /** How far this machine's clock is from those of the servers (`host` or `host:port`, SNTP): positive where it is behind. The median of those that answered. */
  clockOffsetMs(servers: readonly string[]): Promise<Result<number, string>>
  /** Of the certificates in a file, or in a text, all in PEM: the one that ends first. */
  certificate(from: { path: string } | { pem: string }): Promise<Result<CertificateFacts, string>>
  /** Null: this machine has no kubeconfig, so there is nothing to ask. A refusal: Kubernetes does not answer, or not as it should. */
  kubernetes(namespaces: readonly string[]): Promise<Result<KubernetesFacts, string> | null>
}

export type NodeSample = {
  node: NodeName
  /** When the counters were read, by a clock that is good for differences within one node only. */
  countersAtMs: number
  /** Grow since the node's start, over all processors; a smaller value than before is a new start. */
  cpu: { busyMs: number; totalMs: number } | null
  memory: { totalBytes: number; availableBytes: number } | null
  filesystems: FilesystemSample[]
  /** Those that are there as well, and of which nothing can be told. */
  unread: UnreadFilesystem[]
  interfaces: InterfaceSample[]
  /** Running pods; null where there is no Kubernetes, or it does not say. */
  pods: number | null
}

/** One that can be written, or could until it broke. `used / (used + available)` is how full it is: what is kept for root alone counts as neither. */
export type FilesystemSample = {
  /** Where it is mounted, as the node sees it. */
  path: string
  device: string
  sizeBytes: number
  usedBytes: number
  availableBytes: number
  /** Places for files, which run out by themselves; null where it has no fixed number of them. */
  inodes: { total: number; available: number } | null
}

/** `why`: the system's code (`EIO`); `no-answer`: its disk hangs; `not-asked`: others hang, and have the threads that could be spared for it. */
export type UnreadFilesystem = { path: string; why: string }

/** Counters grow since the interface came up; null for those that are not known. */
export type InterfaceSample = {
  name: string
  /** Whether it has a link; null where that is not known. */
  up: boolean | null
  /** Whether there is hardware behind it (not a bridge, tunnel, loopback …). */
  hasDevice: boolean
  receivedBytes: number | null
  sentBytes: number | null
}

export type FailedUnit = { name: string; description: string }

/** `errors`: the filesystem has found damage. `degraded`: an array works without some of its disks. `failed`: gone. `worn`, `worn-out`: flash near and at the end of its life. `read-only`: it became so by itself. */
export type DiskFinding = { device: string; wrong: 'errors' | 'degraded' | 'failed' | 'worn' | 'worn-out' | 'read-only'; detail: string }

export type CertificateFacts = { expiresAtMs: number; subject: string }

export type KubernetesFacts = {
  nodes: { name: string; ready: boolean; reason: string }[]
  /** Pods of the namespaces asked for; `ready` is also true for those that have ended well. */
  pods: { namespace: string; name: string; phase: string; ready: boolean; reason: string }[]
}
