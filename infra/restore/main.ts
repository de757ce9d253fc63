import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'drizzle-orm'
import { openDatabase, type Database } from '../../db/client.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { makePrivateDirectory } from '../../functions/platform/secret-file.ts'
import { BackupName, type BackupIndex } from '../../protocol/backup.ts'
import { readCatalogue, readIndex, type BackupStore } from '../backup/catalogue.ts'
import { endWith } from '../backup/end-with.ts'
import { openStorage } from '../backup/open-storage.ts'
import { Refusal } from '../backup/refusal.ts'
import { readStorageSettings, type StorageSettings } from '../backup/settings.ts'
import { verifyBackup } from '../backup/verify-backup.ts'
import { restoreDatabase, type Restored } from './restore-database.ts'

const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** The backup that was asked for, or the newest, once every piece of it was found to be what was written. */
async function openBackup(store: BackupStore, fleet: string, wanted: { backup?: string; digest?: string }): Promise<{ name: BackupName; index: BackupIndex }> {
  const parsed = BackupName.safeParse(wanted.backup ?? (await readCatalogue(store)).backups.at(-1)?.name)
  if (!parsed.success) throw wanted.backup === undefined ? new Refusal('not-found', 'there is no backup in this object store') : new Refusal('usage', `${wanted.backup} is not the name of a backup (murmur backup list)`)
  const { index, digest } = await readIndex(store, parsed.data)
  if (wanted.digest !== undefined && wanted.digest !== digest) throw new Refusal('not-verified', `the index of ${parsed.data} has the digest ${digest}, not ${wanted.digest}: this is not the backup that you mean`)
  if (index.fleet !== fleet) throw new Refusal('conflict', `the backup is of the fleet ${index.fleet}, and MURMUR_FLEET says ${fleet}`)
  const faults = await verifyBackup(store, parsed.data, index)
  if (faults.length > 0) throw new Refusal('not-verified', `the backup ${parsed.data} is damaged, and nothing was restored:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
  return { name: parsed.data, index }
}

async function explain(db: Database, name: string, restored: Restored, settings: StorageSettings): Promise<void> {
  const [counts] = await db.orm.all<{ sites: number; rollouts: number; tokens: number }>(sql`SELECT (SELECT count(*) FROM site WHERE state = 'enrolled') AS sites,
    (SELECT count(*) FROM rollout WHERE pauses LIKE '%"restored"%') AS rollouts, (SELECT count(*) FROM token WHERE revoked_ms IS NULL) AS tokens`)
  say(`restored ${name}: ${restored.rows} rows, epoch ${restored.epoch}`)
  say(`${counts!.rollouts} rollouts are paused until you resume them; ${counts!.sites} sites are asked for their hello as soon as the controller runs.`)
  say(`${counts!.tokens} tokens are in force: those revoked after the backup are so again (murmur token list). Sites removed after it are back. Open claims are void.`)
  for (const id of restored.releasesLacking) say(`the store lacks objects of ${id}: publish it again before a rollout needs it`)
  if (settings.MURMUR_DATABASE_URL === undefined || settings.MURMUR_DATABASE_URL.startsWith('file:')) {
    for (const key of ['fleet-key.pem', 'ingest-secret']) {
      const path = join(settings.MURMUR_DATA, 'keys', key)
      if (!existsSync(path)) say(`WARNING: there is no ${path}. Bring the old one back before the controller starts, or it makes a new one that no site believes`)
    }
  }
  say('next: start the controller, then murmur restore differences')
}

/** `murmur restore`: see docs/BACKUP.md. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { backup: { type: 'string' }, digest: { type: 'string' }, 'without-tokens': { type: 'boolean', default: false } } })
  const settings = readStorageSettings(process.env)
  const storage = openStorage(settings)
  const { name, index } = await openBackup(storage.store, settings.MURMUR_FLEET, values)
  if (storage.databasePath !== null) await makePrivateDirectory(settings.MURMUR_DATA)
  const db = await openDatabase(storage.databaseUrl, storage.databaseToken)
  try {
    const nowMs = Date.now()
    const restored = await restoreDatabase({ db, store: storage.store, name, index, nowMs, requestId: sortableIds.sortable(nowMs), withoutTokens: values['without-tokens'] })
    await explain(db, name, restored, settings)
  } finally {
    db.close()
  }
}

main().catch((error: unknown) => endWith('restore', error))
