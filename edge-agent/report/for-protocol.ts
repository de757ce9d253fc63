import type { ReportBody } from '../../protocol/reports.ts'

/** A report as a controller of this protocol version takes it; null: that one has no word for it, and would refuse it (SPEC §3.4). */
export function forProtocol(body: ReportBody, version: number): ReportBody | null {
  if (version >= 2) return body
  switch (body.kind) {
    case 'standing':
    case 'metrics':
    case 'live': return null
    case 'alarm': {
      const { sinceMs: _, ...alarm } = body
      return alarm
    }
    default: return body
  }
}
