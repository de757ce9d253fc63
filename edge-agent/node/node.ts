import type { NodeName } from '../../protocol/ids.ts'
import { personalities } from '../../protocol/manifest.ts'

/** A node of the site. `root` is the directory that is `/` to its releases: `/` itself on the host, any directory elsewhere. */
export type Node = { name: NodeName; personality: (typeof personalities)[number]; root: string; hasAgent: boolean }

/** A path on the node as a path on the host. */
export const onNode = (node: Node, path: string): string => (node.root === '/' ? path : `${node.root}${path}`)
