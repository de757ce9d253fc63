import type { ConnectionId } from '../../protocol/ids.ts'
import type { LiveSample } from '../../protocol/metrics.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import type { Clock } from '../host/host.ts'
import { forProtocol } from './for-protocol.ts'
import type { Spool, SpooledReport } from './spool.ts'

export type OutgoingParts = {
  clock: Clock
  spool: Spool
  /** What the controller was heard to speak. */
  protocol(): number
  connection(): { ring(): void; readonly connectionId: ConnectionId | null }
  seal(report: Pick<SpooledReport, 'seq' | 'bootId' | 'body'>): Promise<Uint8Array>
  life: AbortSignal
}

/** The way of a report from who makes it to who sends it, past what the controller has no word for. */
export interface Outgoing {
  /** Keeps a report until it is sent: at once, or not before `afterMs` unless something else goes out anyway. */
  report(body: ReportBody, afterMs?: number): Promise<void>
  /** For whoever looks now: sent over this connection, or forgotten. */
  show(sample: LiveSample): Promise<void>
  /** As it travels; null: it is not to be sent. */
  seal(report: SpooledReport): Promise<Uint8Array | null>
}

export function createOutgoing(parts: OutgoingParts): Outgoing {
  let shownTo: ConnectionId | null = null

  async function report(body: ReportBody, afterMs = 0): Promise<void> {
    if (forProtocol(body, parts.protocol()) === null) return
    await parts.spool.add(body)
    if (afterMs > 0) void parts.clock.sleep(afterMs, parts.life).then(() => parts.connection().ring(), () => undefined)
    else parts.connection().ring()
  }

  return {
    report,
    async show(sample) {
      shownTo = parts.connection().connectionId
      if (shownTo !== null) await report({ kind: 'live', sample })
    },
    async seal(each) {
      const body = forProtocol(each.body, parts.protocol())
      return body === null || (body.kind === 'live' && shownTo !== parts.connection().connectionId) ? null : parts.seal({ ...each, body })
    },
  }
}
