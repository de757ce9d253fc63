import { changesOn, type ApplyParts, type NodeChange } from '../apply/change.ts'
import { runCheck } from '../health/run-check.ts'
import type { HeldState } from '../held/state.ts'
import { isLive, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { explain } from '../log.ts'
import type { Releases } from '../stage/releases.ts'
import type { ComponentFound } from './judge-site.ts'
import { createTreeWatch, type InstalledTree } from './watch-trees.ts'

export type ComponentParts = ApplyParts & { held: Store<HeldState>; journal: Store<JournalRecord>; releases: Pick<Releases, 'load'> }

/**
 * Looks once at each component of the running release on each node that has it. Null while an attempt is under way, or where one began
 * meanwhile: then the attempt judges. `ignore` names what may change in trees. Throws the signal's reason when that is aborted.
 */
export type ComponentWatch = (ignore: readonly string[], signal: AbortSignal) => Promise<ComponentFound[] | null>

/** The first health check that fails, each tried once; else whether it is what was installed. The agent is what it is: nobody else could say so. */
async function findingOf({ host }: ComponentParts, { change, driver }: NodeChange, signal: AbortSignal): Promise<ComponentFound['finding']> {
  const { component, tree } = change.to!
  for (const check of component.health) {
    const fault = await runCheck(host, { node: change.node, component: component.name, tree }, { ...check, retries: 0 }, signal)
    if (fault !== null) return { text: fault.detail, severity: 'critical' }
  }
  if (driver.name === 'agent') return null
  return driver.verify(host, change).then(() => null, (error: unknown) => ({ text: explain(error), severity: 'major' as const }))
}

const keyOf = ({ change }: NodeChange): string => `${change.node.name} ${change.component}`
const isBelow = (path: string, ignored: string): boolean => path === ignored || path.startsWith(`${ignored}/`)
const isAnother = (now: JournalRecord | null, before: JournalRecord | null): boolean => now?.deployment !== before?.deployment || now?.attempt !== before?.attempt || now?.phase !== before?.phase

export function createComponentWatch(parts: ComponentParts): ComponentWatch {
  const { host, held, journal } = parts
  const trees = createTreeWatch({ files: host.files, clock: host.clock, content: parts.content })

  const treesOf = (all: readonly NodeChange[], ignore: readonly string[]): InstalledTree[] => all.flatMap((each) => {
    const { change, driver } = each
    if (driver.placed === undefined) return []
    const ignores = (path: string): boolean => ignore.some((ignored) => isBelow(`${change.component}/${path}`, ignored))
    return [{ key: keyOf(each), ref: change.to!.component.tree, place: () => driver.placed!(host, change), ignores }]
  })

  return async (ignore, signal) => {
    const { running } = held.current!
    const record = journal.current
    const isOver = (): boolean => signal.aborted || isAnother(journal.current, record)
    if (isLive(record)) return null
    if (running === null) return []
    const manifest = await parts.releases.load(running.digest)
    const all = parts.nodes.flatMap((node) => changesOn(parts, node, { from: null, to: manifest }, signal))
    const found: ComponentFound[] = []
    for (const each of all) {
      found.push({ node: each.change.node.name, component: each.change.component, finding: await findingOf(parts, each, signal) })
      if (isOver()) return null
    }
    const findings = await trees.look(treesOf(all, ignore), isOver)
    signal.throwIfAborted()
    return isOver() ? null : found.map((each, i) => ({ ...each, ...treeFound(all[i]!, findings) }))
  }
}

function treeFound(each: NodeChange, findings: ReadonlyMap<string, string | null | undefined>): Pick<ComponentFound, 'tree'> {
  return findings.has(keyOf(each)) ? { tree: { digest: each.change.to!.tree.digest, wrong: findings.get(keyOf(each)) } } : {}
}
