import type { NodeName } from '../../protocol/ids.ts'
import type { Node } from '../node/node.ts'

/** Controllers that may be down at once so that a majority stays up; one at least, or a site with one or two could never move. */
const controllersAtOnce = (controllers: number): number => Math.max(1, Math.floor((controllers - 1) / 2))

/** The order in which a site's nodes are changed: as configured, the agent's own node last and alone (F27). */
export function planBatches(nodes: readonly Node[], nodesAtOnceMax: number): NodeName[][] {
  const controllersMax = controllersAtOnce(nodes.filter((node) => node.personality === 'controller').length)
  const batches: Node[][] = []
  for (const node of nodes.filter((each) => !each.hasAgent)) {
    const last = batches.at(-1)
    const controllers = (last ?? []).filter((each) => each.personality === 'controller').length
    const full = last === undefined || last.length >= nodesAtOnceMax || (node.personality === 'controller' && controllers >= controllersMax)
    if (full) batches.push([node])
    else last.push(node)
  }
  return [...batches, nodes.filter((node) => node.hasAgent)].filter((batch) => batch.length > 0).map((batch) => batch.map((node) => node.name))
}
