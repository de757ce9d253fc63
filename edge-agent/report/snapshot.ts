import type { ConnectionId } from '../../protocol/ids.ts'
import type { HelloReport, NodeReport, ProgressReport } from '../../protocol/reports.ts'
import { agentVersion, protocolRange } from '../agent-version.ts'
import { newestPosition, type HeldState } from '../held/state.ts'
import { attemptReport, type JournalRecord } from '../journal/record.ts'

export type SiteView = { held: HeldState; journal: JournalRecord | null; nodes: NodeReport[]; trustVersion: number; clockTrusted: boolean; architecture: string }

/** Everything the controller's state about what is to run at this site depends on (SPEC §3.2). */
export const helloOf = (view: SiteView, connectionId: ConnectionId): HelloReport => ({
  kind: 'hello', connectionId, agentVersion, protocol: { ...protocolRange }, architecture: view.architecture.slice(0, 32),
  held: { desired: view.held.desired?.position ?? null, newest: newestPosition(view.held) },
  trustVersion: view.trustVersion, clockTrusted: view.clockTrusted,
  running: view.held.running, previous: view.held.previous, staged: view.held.staged,
  attempt: view.journal === null ? null : attemptReport(view.journal), nodes: view.nodes,
})

/** How far an attempt is. */
export const progressOf = (held: HeldState, journal: JournalRecord, nodes: NodeReport[]): ProgressReport => ({
  kind: 'progress', attempt: attemptReport(journal), running: held.running, previous: held.previous, nodes,
})
