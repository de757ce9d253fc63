import { changesOn, type ApplyParts } from '../apply/change.ts'
import { runCheck } from '../health/run-check.ts'
import type { HeldState } from '../held/state.ts'
import { isLive, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import type { Releases } from '../stage/releases.ts'
import type { ComponentFound } from './judge-site.ts'

export type ComponentParts = ApplyParts & { held: Store<HeldState>; journal: Store<JournalRecord>; releases: Pick<Releases, 'load'> }

/**
 * Runs the health checks of the running release once, each on every node that has its component; a component's first failed check
 * counts. Null while an attempt is under way, or where one began meanwhile: then the attempt judges. Throws the signal's reason.
 */
export async function lookAtComponents(parts: ComponentParts, signal: AbortSignal): Promise<ComponentFound[] | null> {
  const { running } = parts.held.current!
  const record = parts.journal.current
  if (isLive(record)) return null
  if (running === null) return []
  const manifest = await parts.releases.load(running.digest)
  const found: ComponentFound[] = []
  for (const node of parts.nodes) {
    for (const { change: { to } } of changesOn(parts, node, { from: null, to: manifest }, signal)) {
      if (to === null || to.component.health.length === 0) continue
      let finding: string | null = null
      for (const check of to.component.health) {
        finding = (await runCheck(parts.host, { node, component: to.component.name, tree: to.tree }, { ...check, retries: 0 }, signal))?.detail ?? null
        if (isAnother(parts.journal.current, record)) return null
        if (finding !== null) break
      }
      found.push({ node: node.name, component: to.component.name, finding })
    }
  }
  return found
}

const isAnother = (now: JournalRecord | null, before: JournalRecord | null): boolean => now?.deployment !== before?.deployment || now?.attempt !== before?.attempt || now?.phase !== before?.phase
