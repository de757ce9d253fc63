import type { ReleaseRef } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { NodeReport } from '../../protocol/reports.ts'
import type { Observed } from '../driver/contract.ts'
import { changesOn, type ApplyParts } from './change.ts'

/** One end of a deployment: a release with its manifest, or nothing. */
export type End = { release: ReleaseRef; manifest: Manifest } | null

const shows = (observed: Observed, wanted: { tree: { digest: string } } | null): boolean =>
  wanted === null ? observed.state === 'absent' : observed.state === 'present' && observed.digest === wanted.tree.digest

/**
 * What runs on each node, from the world and not from memory: exactly `to`, exactly `from`, or something in between
 * (I1). Where a node shows both, it is the one that `running` says.
 */
export async function observeNodes(parts: ApplyParts, ends: { from: End; to: End }, running: ReleaseRef | null, signal: AbortSignal): Promise<NodeReport[]> {
  const reports: NodeReport[] = []
  for (const node of parts.nodes) {
    let isTo = true
    let isFrom = true
    for (const { change, driver } of changesOn(parts, node, { from: ends.from?.manifest ?? null, to: ends.to?.manifest ?? null }, signal)) {
      const observed = await driver.observe(parts.host, change).catch((error: unknown): Observed => ({ state: 'mixed', detail: String(error) }))
      isTo &&= shows(observed, change.to === null ? null : change.to.component)
      isFrom &&= shows(observed, change.from === null ? null : change.from.component)
    }
    const preferFrom = isFrom && (!isTo || running === null || running.digest !== ends.to?.release.digest)
    const end = preferFrom ? ends.from : isTo ? ends.to : null
    reports.push({ name: node.name, personality: node.personality, operational: 'enabled', release: end?.release ?? null, mixed: !isTo && !isFrom })
  }
  return reports
}
