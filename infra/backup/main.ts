import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import packageJson from '../../package.json' with { type: 'json' }
import { openSnapshot } from '../../db/open-snapshot.ts'
import { backupName, BackupName, type BackupEntry } from '../../protocol/backup.ts'
import { readCatalogue, readIndex } from './catalogue.ts'
import { endWith } from './end-with.ts'
import { openStorage, type Storage } from './open-storage.ts'
import { Refusal } from './refusal.ts'
import { readStorageSettings, type StorageSettings } from './settings.ts'
import { takeBackup } from './take-backup.ts'
import { verifyBackup } from './verify-backup.ts'

const keptElsewhere = `Not in any backup, because they are in no database. Keep copies of these where you keep secrets:
  the fleet key and the ingest secret (keys/ in the controller's data directory, or MURMUR_FLEET_KEY and MURMUR_INGEST_SECRET of a Worker);
  the root key and the publisher keys. Without the fleet key and the ingest secret no site understands a restored controller.
`
const lineOf = (entry: BackupEntry): string => `${entry.name}  ${String(entry.rows).padStart(9)} rows  ${String(entry.storedBytes).padStart(12)} bytes  index ${entry.digest}\n`

async function take(settings: StorageSettings, storage: Storage, keep: number | null): Promise<void> {
  if (storage.databasePath !== null && !existsSync(storage.databasePath)) throw new Refusal('not-found', `there is no database ${storage.databasePath}: MURMUR_DATA or MURMUR_DATABASE_URL must name the controller's`)
  const snapshot = await openSnapshot(storage.databaseUrl, storage.databaseToken)
  try {
    const { entry, removed } = await takeBackup({ snapshot, store: storage.store, fleet: settings.MURMUR_FLEET, version: packageJson.version, nowMs: Date.now(), keep })
    process.stdout.write(lineOf(entry))
    process.stderr.write(`${removed > 0 ? `${removed} older ones were removed.\n` : ''}${keptElsewhere}`)
  } finally {
    snapshot.close()
  }
}

async function list(storage: Storage, json: boolean): Promise<void> {
  const { backups } = await readCatalogue(storage.store)
  if (json) process.stdout.write(`${JSON.stringify(backups, null, 2)}\n`)
  else if (backups.length === 0) process.stderr.write('no backups\n')
  else for (const entry of backups) process.stdout.write(lineOf(entry))
}

/** The named backup, or the newest one. */
async function verify(storage: Storage, named: string | undefined): Promise<void> {
  const name = named ?? (await readCatalogue(storage.store)).backups.at(-1)?.name
  if (name === undefined) throw new Refusal('not-found', 'there is no backup')
  if (!BackupName.safeParse(name).success) throw new Refusal('usage', `${name} is not the name of a backup; names are like ${backupName(0)}`)
  const { index, digest } = await readIndex(storage.store, name)
  const faults = await verifyBackup(storage.store, name, index)
  if (faults.length > 0) throw new Refusal('not-verified', `the backup ${name} is damaged:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
  process.stdout.write(`${name} is whole: ${index.tables.length} tables of the fleet ${index.fleet}, index ${digest}\n`)
}

/** `murmur backup`: see docs/BACKUP.md. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { keep: { type: 'string' }, json: { type: 'boolean', default: false } }, allowPositionals: true })
  const settings = readStorageSettings(process.env)
  const storage = openStorage(settings)
  const [verb = 'take', name] = positionals
  const keep = values.keep === undefined ? null : Number(values.keep)
  if (keep !== null && !(Number.isSafeInteger(keep) && keep >= 1)) throw new Refusal('usage', '--keep takes how many backups to keep, at least 1')
  if (verb === 'take') await take(settings, storage, keep)
  else if (verb === 'list') await list(storage, values.json)
  else if (verb === 'verify') await verify(storage, name)
  else throw new Refusal('usage', `there is no murmur backup ${verb}: take, list or verify`)
}

main().catch((error: unknown) => endWith('backup', error))
