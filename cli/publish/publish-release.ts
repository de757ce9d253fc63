import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { storeObjects, type StoredObject } from '../../artifact/store-objects.ts'
import { canonicalJson, equalBytes, fromBase64, utf8 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { payloadTypes, signEnvelope, type Envelope, type SigningKey } from '../../protocol/envelope.ts'
import { releaseContracts, type ReleaseView } from '../../protocol/http/releases.ts'
import type { Digest } from '../../protocol/ids.ts'
import { manifestReleaseId, type DeliveryIndex, type Manifest } from '../../protocol/manifest.ts'
import { CliError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { explainDifference } from './explain-difference.ts'
import { readDeliveryIndex } from './read-delivery-index.ts'
import type { ReleaseFile } from './release-file.ts'
import { scanRelease, type ScannedRelease } from './scan-release.ts'
import { uploadObjects, type UploadResult } from './upload-objects.ts'
import { waitUntilAvailable } from './wait-until-available.ts'

export type PublishStep = 'scan' | 'store' | 'upload' | 'confirm'
export type PublishOptions = {
  client: Client
  file: ReleaseFile
  /** Null only plans. */
  key: SigningKey | null
  /** Told where each step is: components scanned, bytes uploaded, objects confirmed. */
  onProgress?(step: PublishStep, done: number, total: number): void
  /** Where compressed objects lie until they are uploaded; a temporary directory by default. */
  scratch?: string
  /** zstd level, 1 to 19. */
  level?: number
  /** How long to wait until the controller has confirmed every object. */
  confirmMs?: number
}
/** `reused` objects are already there for earlier releases. */
export type PublishPlan = { manifest: Manifest; objects: { digest: Digest; sizeBytes: number }[]; reused: number }
export type Published = { release: ReleaseView } & UploadResult

/** Newest releases of the same name whose stored objects are used again. */
const reuseMax = 3

/**
 * Scans, stores, signs, announces, uploads, and waits until the release is available. What is there already is left out,
 * so that a publication that was interrupted goes on when it is repeated. The private key signs here and goes nowhere.
 * Throws CliError; `conflict` when the version is taken by other content.
 */
export async function publishRelease(options: PublishOptions & { key: SigningKey }): Promise<Published> {
  const { client, key } = options
  const { scanned, earlier } = await prepare(options)
  const id = manifestReleaseId(scanned.manifest)
  // one that a site could not fetch whole is uploaded again where the store lacks something
  if (earlier?.state === 'available' && earlier.detail === '') return { release: earlier, uploaded: 0, uploadedBytes: 0, present: earlier.objects }
  if (earlier?.state === 'withdrawn') throw new CliError('conflict', `${id} was withdrawn, and its version is not used again: ${earlier.detail}`)
  const manifest = await signEnvelope(webCrypto, payloadTypes.manifest, utf8(canonicalJson(scanned.manifest)), key)
  const result = earlier?.state === 'checking' ? { uploaded: 0, uploadedBytes: 0, present: earlier.objects } : await inScratch(options, (scratch) => upload(options, scanned, manifest, scratch))
  await client.call(releaseContracts.completeRelease, { params: { release: id } })
  const release = await waitUntilAvailable(client, id, { limitMs: options.confirmMs ?? 10 * 60_000, onProgress: (done, total) => options.onProgress?.('confirm', done, total) })
  return { release, ...result }
}

/** What would be published: the manifest, and the objects that are not in earlier releases of this name. Changes nothing. */
export async function planRelease(options: PublishOptions): Promise<PublishPlan> {
  const { scanned } = await prepare(options)
  return inScratch(options, async (scratch) => {
    const { index, objects } = await storeObjects(scanned.trees, { scratch, level: options.level ?? 3, reuse: await reusable(options.client, scanned.manifest) })
    return { manifest: scanned.manifest, objects: objects.map(({ digest, size }) => ({ digest, sizeBytes: size })), reused: Object.keys(index.objects).length - objects.length }
  })
}

/** The manifest carries the time of its first announcement: the same content announced again is the same release. */
async function prepare({ client, file, onProgress }: PublishOptions): Promise<{ scanned: ScannedRelease; earlier: ReleaseView | null }> {
  const scanned = await scanRelease(file, { createdAtMs: client.http.nowMs(), onComponent: (done, total) => onProgress?.('scan', done, total) })
  const params = { release: manifestReleaseId(scanned.manifest) }
  const earlier = await client.call(releaseContracts.getRelease, { params }).catch((error: unknown) => {
    if (error instanceof CliError && error.exit === 'not-found') return null
    throw error
  })
  if (earlier === null) return { scanned, earlier }
  const { envelope, manifest } = await client.call(releaseContracts.getManifest, { params })
  const same: Manifest = { ...scanned.manifest, createdAtMs: manifest.createdAtMs }
  if (equalBytes(utf8(canonicalJson(same)), fromBase64(envelope.payload))) return { scanned: { ...scanned, manifest: same }, earlier }
  throw new CliError('conflict', `${params.release} is taken by other content; give this one another version`, { details: explainDifference(manifest, same) })
}

async function inScratch<T>(options: PublishOptions, work: (scratch: string) => Promise<T>): Promise<T> {
  if (options.scratch !== undefined) return work(options.scratch)
  const scratch = await mkdtemp(join(tmpdir(), 'murmur-publish-'))
  const removeNow = (): void => rmSync(scratch, { recursive: true, force: true })
  process.once('exit', removeNow)
  try {
    return await work(scratch)
  } finally {
    process.off('exit', removeNow)
    await rm(scratch, { recursive: true, force: true })
  }
}

async function upload(options: PublishOptions, { manifest, trees }: ScannedRelease, envelope: Envelope, scratch: string): Promise<UploadResult> {
  const { client, onProgress } = options
  const release = manifestReleaseId(manifest)
  const attempt = async (reuse: DeliveryIndex[]) => {
    onProgress?.('store', 0, 1)
    const { index, objects } = await storeObjects(trees, { scratch, level: options.level ?? 3, reuse })
    const indexObject = await writeIndex(index, scratch)
    await client.call(releaseContracts.createRelease, { body: { manifest: envelope, index: { digest: indexObject.digest, size: indexObject.size } } })
    return uploadObjects(client, release, [...objects, indexObject], index.objects, (done, total) => onProgress?.('upload', done, total))
  }
  const result = await attempt(await reusable(client, manifest))
  if (!('lost' in result)) return result
  // an earlier release's objects are gone from the store: then everything is stored anew
  const whole = await attempt([])
  if (!('lost' in whole)) return whole
  throw new CliError('failure', `the controller asks for objects that ${release} does not have`, { details: whole.lost })
}

async function writeIndex(index: DeliveryIndex, scratch: string): Promise<StoredObject> {
  const bytes = utf8(canonicalJson(index))
  const digest = createHash('sha256').update(bytes).digest('hex') as Digest
  const path = join(scratch, digest)
  await writeFile(path, bytes)
  return { digest, size: bytes.length, path }
}

/** Delivery indexes of the newest other available releases of this name; one that cannot be had only costs bytes. */
async function reusable(client: Client, manifest: Manifest): Promise<DeliveryIndex[]> {
  const { items } = await client.call(releaseContracts.listReleases, { query: { name: manifest.name, limit: 20 } })
  const newest = items.filter((release) => release.state === 'available' && release.id !== manifestReleaseId(manifest)).slice(0, reuseMax)
  const indexes = await Promise.all(newest.map(({ id }) => readDeliveryIndex(client, id).catch(() => null)))
  return indexes.filter((index) => index !== null)
}
