import { access, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { eq } from 'drizzle-orm'
import { openDatabase } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import { brokerPassword } from '../../functions/adapters/broker-password.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { fromBase64 } from '../../protocol/bytes.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import type { SiteAccount } from './first-accounts.ts'

/** Where a controller keeps its sites and its ingest secret: a data directory, or a database over the network and a file with the secret in base64. */
export type ControllerPlace = { data?: string | undefined; database?: string | undefined; databaseToken?: string | undefined; ingestSecretFile?: string | undefined }

/** The sites that are enrolled now, with the passwords their agents hold. Rejects where there is no such place; makes nothing. */
export async function readEnrolledSites(fleet: FleetId, place: ControllerPlace): Promise<SiteAccount[]> {
  const data = resolve(place.data ?? '.murmur')
  const secret = fromBase64((await readFile(place.ingestSecretFile ?? join(data, 'keys', 'ingest-secret'), 'utf8')).trim())
  const file = join(data, 'controller.db')
  if (place.database === undefined) await access(file)
  const db = await openDatabase(place.database ?? pathToFileURL(file).href, place.databaseToken)
  try {
    // a read, which a controller that runs on the same file does not notice
    const rows = await db.orm.select({ id: site.id, incarnation: site.incarnation }).from(site).where(eq(site.state, 'enrolled')).orderBy(site.id)
    const accounts: SiteAccount[] = []
    for (const { id, incarnation } of rows) accounts.push({ site: id as SiteId, password: await brokerPassword(nodeCrypto, secret, fleet, id as SiteId, incarnation) })
    return accounts
  } finally {
    db.close()
  }
}
