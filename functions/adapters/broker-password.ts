import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { reportKeyId } from '../../protocol/envelope.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import type { BrokerCredentials } from '../ports/broker.ts'

/** What a site proves itself to its broker with: made from the ingest secret, so that nothing has to be stored, and another at each incarnation. */
export async function brokerPassword(crypto: Crypto, ingestSecret: Uint8Array, fleet: FleetId, site: SiteId, incarnation: number): Promise<string> {
  return toHex(await crypto.hmac(ingestSecret, utf8(`murmur mqtt ${reportKeyId(fleet, site, incarnation)}`)))
}

/** User and client are called as the site: what a broker's access rules can be written with. */
export async function brokerCredentials(crypto: Crypto, ingestSecret: Uint8Array, fleet: FleetId, site: SiteId, incarnation: number, url: string): Promise<BrokerCredentials> {
  return { url, clientId: site, username: site, password: await brokerPassword(crypto, ingestSecret, fleet, site, incarnation) }
}
