import type { ReleaseRef } from '../../protocol/ids.ts'
import type { NodeReport } from '../../protocol/reports.ts'
import type { HeldState } from '../held/state.ts'
import { isAttempt, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import type { Log } from '../log.ts'
import type { Releases } from '../stage/releases.ts'
import type { ApplyParts } from './change.ts'
import { observeNodes, type End } from './observe-nodes.ts'

export type LookoutParts = ApplyParts & {
  log: Log
  held: Store<HeldState>
  journal: Store<JournalRecord>
  releases: Releases
  commit(record: JournalRecord): Promise<void>
  reportAttempt(): Promise<void>
  life: AbortSignal
}

/** What runs on the nodes of a site, as last looked at. */
export interface Lookout {
  readonly nodes: NodeReport[]
  look(): Promise<void>
  /** Hands may have brought a site that needed them to one of the two releases: then that is how the attempt ended. */
  lookForHands(): Promise<void>
}

export function createLookout(parts: LookoutParts): Lookout {
  const { held, journal } = parts
  let nodes: NodeReport[] = []

  async function endOf(release: ReleaseRef | null | undefined): Promise<End> {
    const manifest = release == null ? null : await parts.releases.load(release.digest).catch(() => null)
    return manifest === null ? null : { release: release!, manifest }
  }

  return {
    get nodes() {
      return nodes
    },
    async look() {
      const { running } = held.current!
      const to = await endOf(journal.current?.to)
      const ends = to === null ? { from: null, to: await endOf(running) } : { from: await endOf(journal.current?.from), to }
      nodes = await observeNodes(parts, ends, running, parts.life)
    },
    async lookForHands() {
      const record = journal.current
      if (record?.outcome !== 'needs-hands') return
      const allOn = (release: ReleaseRef | null): boolean => nodes.every((node) => !node.mixed && node.release?.digest === release?.digest)
      const outcome = allOn(record.from) ? 'rolled-back' : record.to !== null && allOn(record.to) ? 'succeeded' : null
      if (outcome === null) return
      if (outcome === 'succeeded') await parts.commit(record)
      // The worker may have begun another attempt meanwhile.
      await journal.update((current) => (isAttempt(current, record) ? { ...current, outcome } : current))
      parts.log('info', 'hands-have-helped', { deployment: record.deployment, attempt: record.attempt, outcome })
      await parts.reportAttempt()
    },
  }
}
