import type { Manifest } from '../../protocol/manifest.ts'
import type { Change, Driver } from '../driver/contract.ts'
import type { DriverName } from '../../protocol/manifest.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import type { ContentStore } from '../stage/content-store.ts'
import { planChanges, type PlannedChange } from './plan-changes.ts'

/** What applying needs from the site. */
export type ApplyParts = { host: Host; drivers: Record<DriverName, Driver>; nodes: readonly Node[]; content: ContentStore; nodesDirectory: string }

/** The two ends of a deployment, as manifests. */
export type Ends = { from: Manifest | null; to: Manifest | null }

export type NodeChange = { planned: PlannedChange; change: Change; driver: Driver }

/** A node's changes, ready to be given to their drivers. */
export function changesOn(parts: ApplyParts, node: Node, ends: Ends, signal: AbortSignal): NodeChange[] {
  const side = (component: PlannedChange['to']): Change['to'] => component === null ? null
    : { component, tree: { path: parts.content.treePath(component.tree.digest), digest: component.tree.digest } }
  return planChanges(ends.from, ends.to, node).map((planned) => ({
    planned,
    driver: parts.drivers[planned.driver],
    change: {
      node, component: planned.component, from: side(planned.from), to: side(planned.to),
      stateDirectory: `${parts.nodesDirectory}/${node.name}/${planned.component}-${planned.driver}`, signal,
    },
  }))
}

/** The nodes of these names, in this order. */
export const nodesNamed = (nodes: readonly Node[], names: readonly string[]): Node[] =>
  names.flatMap((name) => nodes.filter((node) => node.name === name))
