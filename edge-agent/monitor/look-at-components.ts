import { changesOn, type ApplyParts, type NodeChange } from '../apply/change.ts'
import { runCheck } from '../health/run-check.ts'
import type { HeldState } from '../held/state.ts'
import { isLive, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { explain } from '../log.ts'
import type { Releases } from '../stage/releases.ts'
import type { ComponentFound } from './judge-site.ts'

export type ComponentParts = ApplyParts & { held: Store<HeldState>; journal: Store<JournalRecord>; releases: Pick<Releases, 'load'> }

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

/**
 * Looks once at each component of the running release on each node that has it. Null while an attempt is under way, or where one began
 * meanwhile: then the attempt judges. Throws the signal's reason when that is aborted.
 */
export async function lookAtComponents(parts: ComponentParts, signal: AbortSignal): Promise<ComponentFound[] | null> {
  const { running } = parts.held.current!
  const record = parts.journal.current
  if (isLive(record)) return null
  if (running === null) return []
  const manifest = await parts.releases.load(running.digest)
  const found: ComponentFound[] = []
  for (const node of parts.nodes) {
    for (const each of changesOn(parts, node, { from: null, to: manifest }, signal)) {
      found.push({ node: node.name, component: each.change.component, finding: await findingOf(parts, each, signal) })
      if (isAnother(parts.journal.current, record)) return null
    }
  }
  return found
}

const isAnother = (now: JournalRecord | null, before: JournalRecord | null): boolean => now?.deployment !== before?.deployment || now?.attempt !== before?.attempt || now?.phase !== before?.phase
