import { gzipSync } from 'node:zlib'
import { utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { reportKeyId, sealReport } from '../../protocol/envelope.ts'
import type { Report } from '../../protocol/reports.ts'
import type { Identity } from '../link/judge.ts'
import { forProtocol } from './for-protocol.ts'
import type { SpooledReport } from './spool.ts'

/**
 * A report as it travels: numbered, timed, sealed with the site's report key, and compressed where that makes it shorter, but never one of a
 * kind that protocol 1 has: a controller of that version could not read it (SPEC §3.4).
 */
export async function sealed(crypto: Crypto, identity: Identity, reportKey: Uint8Array, sentAtMs: number, spooled: Pick<SpooledReport, 'seq' | 'bootId' | 'body'>): Promise<Uint8Array> {
  const { fleet, site, incarnation } = identity
  const report: Report = { v: 1, fleet, site, incarnation, bootId: spooled.bootId, seq: spooled.seq, sentAtMs: Math.max(0, Math.round(sentAtMs)), body: spooled.body }
  const gzip = forProtocol(report.body, 1) === null ? gzipSync : null
  return utf8(JSON.stringify(await sealReport(crypto, utf8(JSON.stringify(report)), reportKeyId(fleet, site, incarnation), reportKey, gzip)))
}
