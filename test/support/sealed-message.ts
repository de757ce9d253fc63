import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { deriveReportKey, reportKeyId, sealReport } from '../../protocol/envelope.ts'
import type { Report, ReportBody } from '../../protocol/reports.ts'
import { siteTopic } from '../../protocol/topics.ts'

/** A report; its body may also be one that this version does not know. */
export type SaidReport = Omit<Report, 'body'> & { body: ReportBody | ({ kind: string } & Record<string, unknown>) }

/** A report as it comes from the broker: sealed with the key that its site has from the controller's ingest secret. */
export async function sealedMessage(ingestSecret: Uint8Array, report: SaidReport): Promise<{ topic: string; payload: Uint8Array }> {
  const { fleet, site, incarnation, body } = report
  const key = await deriveReportKey(nodeCrypto, ingestSecret, fleet, site, incarnation)
  const envelope = await sealReport(nodeCrypto, utf8(JSON.stringify(report)), reportKeyId(fleet, site, incarnation), key)
  return { topic: siteTopic(fleet, site, body.kind === 'gone' ? 'presence' : 'report'), payload: utf8(JSON.stringify(envelope)) }
}
