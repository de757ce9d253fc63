import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sealed } from '../../edge-agent/report/seal.ts'
import { deriveReportKey } from '../../protocol/envelope.ts'
import type { Report, ReportBody } from '../../protocol/reports.ts'
import { siteTopic } from '../../protocol/topics.ts'

/** A report; its body may also be one that this version does not know. */
export type SaidReport = Omit<Report, 'body'> & { body: ReportBody | ({ kind: string } & Record<string, unknown>) }

/** A report as it comes from the broker: sealed as an agent does it, with the key that its site has from the controller's ingest secret. */
export async function sealedMessage(ingestSecret: Uint8Array, report: SaidReport): Promise<{ topic: string; payload: Uint8Array }> {
  const { fleet, site, incarnation, sentAtMs, bootId, seq, body } = report
  const key = await deriveReportKey(nodeCrypto, ingestSecret, fleet, site, incarnation)
  const payload = await sealed(nodeCrypto, { fleet, site, incarnation }, key, sentAtMs, { seq, bootId, body: body as ReportBody })
  return { topic: siteTopic(fleet, site, body.kind === 'gone' ? 'presence' : 'report'), payload }
}
