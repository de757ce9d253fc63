import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createS3ObjectStore } from '../../functions/adapters/aws/s3-object-store.ts'
import { createDiskObjectStore } from '../../functions/adapters/node/disk-object-store.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { systemClock } from '../../functions/adapters/node/system-clock.ts'
import type { BackupStore } from './catalogue.ts'
import type { StorageSettings } from './settings.ts'

export type Storage = { databaseUrl: string; databaseToken: string | undefined; /** The file of the database; null where it is over the network. */ databasePath: string | null; store: BackupStore }

/** The database and the object store that the settings name: the same as the controller's own, wherever that runs. */
export function openStorage(settings: StorageSettings): Storage {
  const databaseUrl = settings.MURMUR_DATABASE_URL ?? pathToFileURL(join(settings.MURMUR_DATA, 'controller.db')).href
  return { databaseUrl, databaseToken: settings.MURMUR_DATABASE_TOKEN, databasePath: pathOf(databaseUrl), store: openStore(settings) }
}

function openStore(settings: StorageSettings): BackupStore {
  const { MURMUR_S3_ENDPOINT: endpoint, MURMUR_S3_BUCKET: bucket, MURMUR_S3_REGION: region, MURMUR_S3_ACCESS_KEY_ID: accessKeyId, MURMUR_S3_SECRET_ACCESS_KEY: secretAccessKey } = settings
  if (endpoint !== undefined) return createS3ObjectStore({ endpoint, bucket: bucket!, region, accessKeyId: accessKeyId!, secretAccessKey: secretAccessKey!, crypto: nodeCrypto, clock: systemClock })
  return createDiskObjectStore({ root: join(settings.MURMUR_DATA, 'objects'), signer: { signGet: refuseToSign, signPut: refuseToSign } })
}

/** Nobody fetches a backup by URL. */
const refuseToSign = (): Promise<never> => Promise.reject(new Error('no URLs are signed here'))

/** libSQL takes `file:relative/path` too, which is no proper URL. */
const pathOf = (url: string): string | null => (!url.startsWith('file:') ? null : url.startsWith('file:///') ? fileURLToPath(url) : url.slice('file:'.length))
