import type { Outcome } from '../../../protocol/states.ts'
import type { SimRelease } from '../releases.ts'
import type { SimSite } from '../site.ts'
import type { Finding } from './check-rows.ts'

const components = { base: '/opt/base', app: '/opt/app', agentless: '/opt/worker' } as const
type ComponentName = keyof typeof components

/** What a node shows: for each component the text of its files, or null. */
type Shown = Record<ComponentName, Record<string, string> | null>
export type NodeView = { node: string; worker: boolean; shown: Shown }

/** Every node of a machine, from its disk. */
export async function lookAtNodes(site: SimSite): Promise<NodeView[]> {
  const views: NodeView[] = []
  for (const node of site.plan.nodes) {
    const shown = {} as Shown
    for (const [name, target] of Object.entries(components) as [ComponentName, string][]) shown[name] = await site.read(`${node.root}${target}`).catch(() => ({ '(unreadable)': '' }))
    views.push({ node: node.name, worker: node.personality === 'worker', shown })
  }
  return views
}

const sameTree = (a: Record<string, string> | null, b: Record<string, string> | null): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
const sorted = (tree: Record<string, string> | null) => (tree === null ? null : Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Whether a node runs exactly this release; null is nothing at all. */
function runsExactly(view: NodeView, release: SimRelease | null): boolean {
  return (Object.keys(components) as ComponentName[]).every((name) => {
    const wanted = release === null || (name === 'agentless' && !view.worker) ? null : release.trees[name]!
    return sameTree(view.shown[name], wanted)
  })
}

/** I2: each tree in effect is whole, and is one that a signed manifest names. */
export function checkBytes(site: SimSite, views: readonly NodeView[], releases: readonly SimRelease[]): Finding[] {
  return views.flatMap((view) =>
    (Object.keys(components) as ComponentName[]).flatMap((name) => {
      const tree = view.shown[name]
      if (tree === null || releases.some((release) => sameTree(release.trees[name]!, tree))) return []
      return [{ invariant: 'I2', evidence: `${name} on ${view.node} of ${site.name} is no tree of any release: ${JSON.stringify(tree).slice(0, 300)}` }]
    }))
}

/** I1: after an attempt every node runs the release that its outcome says. */
export function checkOutcome(site: SimSite, views: readonly NodeView[], outcome: Outcome, from: SimRelease | null, to: SimRelease | null, what: string): Finding[] {
  if (outcome === 'needs-hands') return []
  const wanted = outcome === 'succeeded' ? to : from
  return views.filter((view) => !runsExactly(view, wanted)).map((view) => ({
    invariant: 'I1', evidence: `${what} at ${site.name} ended ${outcome}, but ${view.node} does not run ${wanted?.ref.id ?? 'nothing'}: ${JSON.stringify(view.shown).replaceAll(/x{20,}/g, '…').slice(0, 600)}`,
  }))
}
