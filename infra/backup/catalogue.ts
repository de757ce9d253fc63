import type { ObjectStore } from '../../functions/ports/object-store.ts'
import { BackupCatalogue, BackupIndex, backupKeys, type BackupEntry, type BackupName } from '../../protocol/backup.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { Refusal } from './refusal.ts'
import { sha256Of } from './piece.ts'

/** What backups need of a store. */
export type BackupStore = Pick<ObjectStore, 'head' | 'get' | 'put' | 'remove'>

/** The list of backups; an empty one where none was ever made. */
export async function readCatalogue(store: BackupStore): Promise<BackupCatalogue> {
  const bytes = await store.get(backupKeys.catalogue(), limits.backupIndexBytesMax)
  if (bytes === null) return { v: 1, backups: [], begun: [] }
  const parsed = BackupCatalogue.safeParse(jsonOf(bytes))
  if (!parsed.success) throw new Refusal('not-verified', `${backupKeys.catalogue()} in the object store is not a list of backups; each backup has its own index, and can be named: --backup NAME`)
  return parsed.data
}

export async function writeJson(store: BackupStore, key: string, value: unknown): Promise<{ digest: string; size: number }> {
  const bytes = utf8(JSON.stringify(value))
  const digest = sha256Of(bytes)
  await store.put(key, bytes, digest)
  return { digest, size: bytes.length }
}

/** A backup's index with the digest of its bytes. Refuses a backup that has none: it was never finished, or is gone. */
export async function readIndex(store: BackupStore, name: BackupName): Promise<{ index: BackupIndex; digest: string }> {
  const bytes = await store.get(backupKeys.index(name), limits.backupIndexBytesMax)
  if (bytes === null) throw new Refusal('not-found', `there is no backup ${name}: it was never finished, or was removed (murmur backup list)`)
  const parsed = BackupIndex.safeParse(jsonOf(bytes))
  if (!parsed.success) throw new Refusal('not-verified', `the index of the backup ${name} is not what it must be: ${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`)
  return { index: parsed.data, digest: sha256Of(bytes) }
}

/** Removes backups altogether: first what makes each exist, then its pieces. */
export async function removeBackups(store: BackupStore, entries: readonly Pick<BackupEntry, 'name' | 'pieces'>[]): Promise<void> {
  for (const { name } of entries) await store.remove([backupKeys.index(name)])
  for (const { name, pieces } of entries) await store.remove(Array.from({ length: pieces }, (_, i) => backupKeys.piece(name, i + 1)))
}

/** What a backup that was killed has left: its pieces are numbered without a gap. One that has its index was finished, and stays. */
export async function removeUnfinished(store: BackupStore, name: BackupName): Promise<void> {
  if ((await store.head(backupKeys.index(name))) !== null) return
  for (let number = 1; (await store.head(backupKeys.piece(name, number))) !== null; number++) await store.remove([backupKeys.piece(name, number)])
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes))
  } catch {
    return undefined
  }
}
