import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { canonicalJson, utf8 } from '../../protocol/bytes.ts'
import { digestOf, payloadTypes, signEnvelope, type Envelope, type SigningKey } from '../../protocol/envelope.ts'
import type { Digest } from '../../protocol/ids.ts'
import { storeKeys, type DeliveryIndex } from '../../protocol/manifest.ts'
import type { Controller } from './controller.ts'

/** A small release with its objects, all of them plain: one component per tree, `{ path: text }` each. */
export type TestRelease = { id: string; manifest: Record<string, unknown>; index: DeliveryIndex; objects: Map<string, Uint8Array>; indexRef: { digest: Digest; size: number } }

export async function makeRelease(version: string, trees: Record<string, Record<string, string>>, more: Record<string, unknown> = {}): Promise<TestRelease> {
  const objects = new Map<string, Uint8Array>()
  const index: DeliveryIndex = { v: 1, content: {}, objects: {}, patches: [] }
  const add = async (bytes: Uint8Array): Promise<Digest> => {
    const digest = await digestOf(nodeCrypto, bytes)
    if (bytes.length === 0) return digest
    objects.set(digest, bytes)
    index.content[digest] = { object: digest, storedBytes: bytes.length, codec: 'none' }
    index.objects[digest] = bytes.length
    return digest
  }
  const components: unknown[] = []
  for (const [name, files] of Object.entries(trees)) {
    const entries = []
    for (const path of Object.keys(files).sort()) entries.push({ type: 'file', path, mode: 0o644, size: utf8(files[path]!).length, sha256: await add(utf8(files[path]!)) })
    const listing = utf8(canonicalJson({ v: 1, entries }))
    const tree = { digest: await add(listing), listingBytes: listing.length, size: entries.reduce((sum, entry) => sum + entry.size, 0), files: entries.length }
    components.push({ name, version: '1', config: { driver: 'files', target: `/opt/${name}` }, tree })
  }
  const manifest = { v: 1, kind: 'release', name: 'shop', version, createdAtMs: 1, components, ...more }
  return { id: `shop@${version}`, manifest, index, objects, indexRef: await sealIndex(index, objects) }
}

/** Adds the index itself to the objects; called again after a test has changed it. */
export async function sealIndex(index: DeliveryIndex, objects: Map<string, Uint8Array>): Promise<{ digest: Digest; size: number }> {
  const bytes = utf8(canonicalJson(index))
  const digest = await digestOf(nodeCrypto, bytes)
  objects.set(digest, bytes)
  return { digest, size: bytes.length }
}

export const signManifest = (release: TestRelease, key: SigningKey): Promise<Envelope> => signEnvelope(nodeCrypto, payloadTypes.manifest, utf8(JSON.stringify(release.manifest)), key)

export async function announce(controller: Controller, release: TestRelease) {
  return controller.call('createRelease', { as: 'publisher', body: { manifest: await signManifest(release, controller.keys.publisher), index: release.indexRef } })
}

export async function putObjects(controller: Controller, release: TestRelease, except: readonly string[] = []): Promise<void> {
  for (const [digest, bytes] of release.objects) if (!except.includes(digest)) await controller.store.put(storeKeys.object(digest), bytes, digest)
}
