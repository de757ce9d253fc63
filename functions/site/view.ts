import type { NodeLockRow, SiteRow } from '../../db/schema/fleet.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { NodeLock } from '../../protocol/http/monitoring.ts'
import type { SiteView } from '../../protocol/http/sites.ts'
import { controllerProtocols, protocolsOf, standingOf } from '../../protocol/protocol-versions.ts'
import type { NodeName, SiteId } from '../../protocol/ids.ts'

function protocolOf(row: SiteRow): SiteView['agentProtocol'] {
  const range = protocolsOf(row)
  return range === null ? null : { ...range, standing: standingOf(range, controllerProtocols) }
}

export const viewLocks = (locks: readonly NodeLockRow[]): NodeLock[] => locks.map(({ node, reason, by, atMs }) => ({ node: node as NodeName, reason, by, at: at(atMs) }))

/** A site as the API shows it: nothing of its keys and claims. */
export const viewSite = (row: SiteRow): SiteView => ({
  id: row.id as SiteId,
  labels: row.labels, timeZone: row.timeZone, windows: row.windows, freezes: row.freezes,
  state: row.state, presence: row.presence, incarnation: row.incarnation,
  agentVersion: row.agentVersion, agentProtocol: protocolOf(row), architecture: row.architecture, clockTrusted: row.clockTrusted,
  running: row.running, previous: row.previous, desired: row.desired, staged: row.staged, held: row.held, attempt: row.attempt, nodes: row.nodes, locks: viewLocks(row.locks),
  lastSeenAt: atOrNull(row.lastSeenMs), createdAt: at(row.createdMs), version: row.version,
})
