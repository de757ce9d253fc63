import { canonicalJson } from '../../protocol/bytes.ts'
import type { Component, DriverName, Manifest } from '../../protocol/manifest.ts'
import type { Node } from '../node/node.ts'

/** What a deployment does with one component on one node. `from` and `to` have the same driver, which does it. */
export type PlannedChange = { component: string; driver: DriverName; from: Component | null; to: Component | null }

const isAgent = (component: Component): boolean => component.config.driver === 'agent'

/** The agent is on its own node alone, and comes first there, so that the version a release brings applies the rest of it. */
function componentsOn(node: Node, manifest: Manifest | null): Component[] {
  const wanted = (manifest?.components ?? []).filter((component) => (isAgent(component) ? node.hasAgent : component.personalities?.includes(node.personality) ?? true))
  return [...wanted.filter(isAgent), ...wanted.filter((component) => !isAgent(component))]
}

/**
 * The changes on one node: the new release's components in their order, then what it drops, in the old release's reverse
 * order. A component that changes its driver is dropped by the one and new to the other.
 */
export function planChanges(from: Manifest | null, to: Manifest | null, node: Node): PlannedChange[] {
  const [old, next] = [componentsOn(node, from), componentsOn(node, to)]
  const same = (a: Component) => (b: Component): boolean => a.name === b.name && a.config.driver === b.config.driver
  const wanted = next.map((component) => ({ component: component.name, driver: component.config.driver, from: old.find(same(component)) ?? null, to: component }))
  const dropped = old.filter((component) => !next.some(same(component)))
  return [...wanted, ...dropped.reverse().map((component) => ({ component: component.name, driver: component.config.driver, from: component, to: null }))]
}

/** Nothing to do, where the world agrees with it. */
export const isUnchanged = (change: PlannedChange): boolean =>
  change.from !== null && change.to !== null && change.from.tree.digest === change.to.tree.digest && canonicalJson(change.from.config) === canonicalJson(change.to.config)
