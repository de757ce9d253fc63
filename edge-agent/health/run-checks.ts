import type { Component } from '../../protocol/manifest.ts'
import type { Fault } from '../../protocol/reports.ts'
import type { StagedTree } from '../driver/contract.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import { runCheck } from './run-check.ts'

/**
 * Runs the checks of all components on one node, in the order of the manifest, and stops at the first that fails.
 * Returns its fault, or null when all passed. Throws the signal's reason when that is aborted.
 */
export async function runChecks(host: Host, node: Node, components: readonly { component: Component; tree: StagedTree }[], signal: AbortSignal): Promise<Fault | null> {
  for (const { component, tree } of components) {
    for (const check of component.health) {
      const fault = await runCheck(host, { node, component: component.name, tree }, check, signal)
      if (fault !== null) return fault
    }
  }
  return null
}
