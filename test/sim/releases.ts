import { createHash } from 'node:crypto'
import { encodeListing } from '../../artifact/encode-listing.ts'
import { canonicalJson, utf8 } from '../../protocol/bytes.ts'
import type { Digest, ReleaseRef } from '../../protocol/ids.ts'
import { Manifest, manifestReleaseId, type DeliveryIndex } from '../../protocol/manifest.ts'
import type { z } from 'zod'

/** What is wrong with a release: nothing, everywhere, only at sites of one region, or only some time after it was taken for good. */
export type Badness = { kind: 'good' } | { kind: 'bad' } | { kind: 'bad-in'; region: string } | { kind: 'sour'; afterMs: number }
export type ReleasePlan = { version: string; badness: Badness; requires?: string; replaces?: string[]; sizeBytes: number }
/** Contents by path below a component's target. */
type Tree = Record<string, string>
export type SimRelease = { plan: ReleasePlan; ref: ReleaseRef; manifest: Manifest; objects: Map<Digest, Uint8Array>; index: { digest: Digest; size: number }; trees: Record<string, Tree> }

const sha256 = (bytes: Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest
export const healthUrl = 'http://health.sim'

/** Three components: one that is new in each release, one that often stays, one for workers only. */
function treesOf({ version, sizeBytes, badness }: ReleasePlan): Record<string, Tree> {
  const [major, minor] = version.split('.')
  return {
    app: { 'bin/app': `app ${version}\n${'x'.repeat(sizeBytes)}`, 'etc/status': badness.kind === 'bad' ? 'status=broken' : `status=ok ${version}`, 'share/license': 'the same in each release' },
    base: { 'lib/base': `base ${major}.${Math.floor(Number(minor) / 2)}` },
    agentless: { 'run/worker': `worker ${version}` },
  }
}

/** A release with all its objects, stored plainly: small files in one pack, listings as objects of their own. */
export function buildRelease(plan: ReleasePlan): SimRelease {
  const trees = treesOf(plan)
  const objects = new Map<Digest, Uint8Array>()
  const index: DeliveryIndex = { v: 1, content: {}, objects: {}, patches: [] }
  const store = (bytes: Uint8Array): Digest => {
    const digest = sha256(bytes)
    objects.set(digest, bytes)
    index.objects[digest] = bytes.length
    return digest
  }
  const contents = new Map<Digest, Uint8Array>()
  const refs = Object.fromEntries(
    Object.entries(trees).map(([component, tree]) => {
      const entries = Object.entries(tree).map(([path, text]) => ({ type: 'file' as const, path, mode: path.startsWith('bin/') ? 0o755 : 0o644, size: utf8(text).length, sha256: sha256(utf8(text)) }))
      for (const text of Object.values(tree)) contents.set(sha256(utf8(text)), utf8(text))
      const { bytes, ref } = encodeListing(entries, component)
      const object = store(bytes)
      index.content[ref.digest] = { object, storedBytes: bytes.length, codec: 'none' }
      return [component, ref]
    }),
  )
  const pack = Buffer.concat([...contents.values()])
  const packDigest = store(new Uint8Array(pack))
  let offset = 0
  for (const [digest, bytes] of contents) {
    index.content[digest] = { pack: packDigest, offset, storedBytes: bytes.length, codec: 'none' }
    offset += bytes.length
  }
  const patience = { timeout: 2000, interval: 1000, retries: 2 }
  const health: z.input<typeof Manifest>['components'][number]['health'] = [
    { type: 'file', name: 'says ok', path: '/opt/app/etc/status', contains: 'status=ok', ...patience },
    { type: 'http', name: 'answers', url: `${healthUrl}/${plan.version}`, ...patience },
  ]
  const manifest = Manifest.parse({
    v: 1, kind: 'release', name: 'shop', version: plan.version, createdAtMs: 1,
    ...(plan.requires === undefined ? {} : { requires: plan.requires }), ...(plan.replaces === undefined ? {} : { replaces: plan.replaces }),
    components: [
      { name: 'base', version: plan.version, config: { driver: 'files', target: '/opt/base' }, tree: refs.base },
      { name: 'app', version: plan.version, config: { driver: 'files', target: '/opt/app' }, tree: refs.app, health },
      { name: 'agentless', version: plan.version, config: { driver: 'files', target: '/opt/worker' }, tree: refs.agentless, personalities: ['worker'] },
    ],
  })
  const indexBytes = utf8(canonicalJson(index))
  objects.set(sha256(indexBytes), indexBytes)
  return { plan, ref: { id: manifestReleaseId(manifest), digest: sha256(utf8(canonicalJson(manifest))) }, manifest, objects, index: { digest: sha256(indexBytes), size: indexBytes.length }, trees }
}
