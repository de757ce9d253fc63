import { contentsOf, type Content } from '../../protocol/delivery.ts'
import { ArtifactError } from '../../artifact/artifact-error.ts'
import { planFetch, type Fetch } from '../../artifact/plan-fetch.ts'
import { unpackFetch } from '../../artifact/unpack-fetch.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { digestOf } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import { DeliveryIndex, type Manifest, type TreeListing, type TreeRef } from '../../protocol/manifest.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import { planChanges } from '../apply/plan-changes.ts'
import { StepError } from '../step-error.ts'
import type { ContentStore } from './content-store.ts'
import type { Downloader, Wanted } from './download.ts'
import type { Releases } from './releases.ts'
import { nodeNeeds, reserveSpace } from './reserve-space.ts'

/** Fetches of one range whose bytes turn out wrong; then the release fails rather than the line is blamed for ever (F1). */
const badFetchesMax = 3
const buildTriesMax = 3

export type StagingParts = { host: Host; crypto: Crypto; releases: Releases; content: ContentStore; downloader: Downloader; nodes: readonly Node[]; stateDirectory: string }
export type StagingProgress = (bytes: { done: number; total: number }) => void

/**
 * Brings every tree of a release here, complete and verified. What is here already is not fetched again, so it may be
 * called as often as one likes, and goes on after a sudden end. Throws StepError; aborts with the signal's reason.
 */
export async function stageRelease(parts: StagingParts, release: ReleaseRef, manifest: Manifest, signal: AbortSignal, onProgress: StagingProgress): Promise<void> {
  for (let tries = 1; ; tries++) {
    const missing = await missingTrees(parts.content, manifest)
    if (missing.length === 0) return
    try {
      return await bringTrees(parts, release, manifest, missing, signal, onProgress)
    } catch (error) {
      if (!(error instanceof StepError && error.retry) || tries >= buildTriesMax) throw error
    }
  }
}

async function missingTrees(content: ContentStore, manifest: Manifest): Promise<TreeRef[]> {
  const refs = new Map(manifest.components.map((component) => [component.tree.digest, component.tree]))
  const missing: TreeRef[] = []
  for (const ref of refs.values()) if (!(await content.treeIsWhole(ref))) missing.push(ref)
  return missing
}

async function bringTrees(parts: StagingParts, release: ReleaseRef, manifest: Manifest, missing: readonly TreeRef[], signal: AbortSignal, onProgress: StagingProgress): Promise<void> {
  const { host, content } = parts
  const bytes = { done: 0, total: 0 }
  const arrived = (count: number): void => {
    bytes.done += count
    onProgress(bytes)
  }
  const index = await fetchIndex(parts, release, signal)
  await fetchContents(parts, index, missing.map((ref) => ({ digest: ref.digest, size: ref.listingBytes })), signal, bytes, arrived)
  const listings = new Map<TreeRef, TreeListing>()
  for (const ref of missing) {
    const listing = await content.listing(ref)
    if (listing === null) throw new StepError({ code: 'bad-listing', detail: `the listing of tree ${ref.digest} is not a lawful one of that digest` })
    listings.set(ref, listing)
  }
  const wanted = [...listings.values()].flatMap(contentsOf)
  await reserveSpace(host, [...(await stateNeeds(parts, wanted, listings)), ...nodeNeeds(parts.nodes, (node) => newOnNode(manifest, node, missing))])
  await fetchContents(parts, index, wanted, signal, bytes, arrived)
  for (const [ref, listing] of listings) {
    signal.throwIfAborted()
    await content.build(ref, listing)
  }
}

async function fetchIndex(parts: StagingParts, release: ReleaseRef, signal: AbortSignal): Promise<DeliveryIndex> {
  const { index, indexBytes } = await parts.releases.indexOf(release, signal)
  if (indexBytes > limits.deliveryIndexBytesMax) throw new StepError({ code: 'bad-index', detail: `the delivery index has ${indexBytes} bytes` })
  parts.downloader.announce([index])
  const wanted: Wanted = { object: index, objectBytes: indexBytes, offset: 0, length: indexBytes }
  return retryBad(async () => {
    const bytes = await parts.host.files.read(await parts.downloader.fetch(wanted, signal, () => undefined))
    await parts.downloader.discard(wanted)
    if ((await digestOf(parts.crypto, bytes)) !== index) throw new ArtifactError('digest-mismatch', index, 'this is not the delivery index')
    const parsed = DeliveryIndex.safeParse(JSON.parse(fromUtf8(bytes)))
    if (!parsed.success) throw new StepError({ code: 'bad-index', detail: `the delivery index ${index} is not understood` })
    return parsed.data
  })
}

async function fetchContents(parts: StagingParts, index: DeliveryIndex, wanted: readonly Content[], signal: AbortSignal, bytes: { total: number }, arrived: (count: number) => void): Promise<void> {
  const held = new Set<string>()
  for (const each of wanted) if (await parts.content.has(each)) held.add(each.digest)
  const plan = planFetch(wanted, (digest) => held.has(digest), index)
  if (!plan.ok) throw new StepError({ code: 'bad-index', detail: `${plan.refusal.reason}: ${plan.refusal.digest}` })
  bytes.total += plan.value.storedBytes
  parts.downloader.announce(plan.value.fetches.map((fetch) => fetch.object))
  for (const fetch of plan.value.fetches) await retryBad(() => fetchOne(parts, fetch, signal, arrived))
}

async function fetchOne(parts: StagingParts, fetch: Fetch, signal: AbortSignal, arrived: (count: number) => void): Promise<void> {
  const path = await parts.downloader.fetch(fetch, signal, arrived)
  try {
    for await (const { part, content } of unpackFetch(parts.host.files.stream(path), fetch)) await parts.content.put(part, content)
  } finally {
    await parts.downloader.discard(fetch)
  }
}

/** Received bytes that were wrong are worth another fetch, a few times. */
async function retryBad<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const bad = error instanceof ArtifactError && (error.reason === 'too-long' || error.reason === 'digest-mismatch' || error.reason === 'corrupt')
      if (!bad || tries >= badFetchesMax) throw error
    }
  }
}

/** Contents that are missing, once; files that a tree cannot share with them, once more. */
async function stateNeeds(parts: StagingParts, wanted: readonly Content[], listings: ReadonlyMap<TreeRef, TreeListing>): Promise<{ path: string; bytes: number }[]> {
  let bytes = 0
  for (const each of wanted) if (!(await parts.content.has(each))) bytes += each.size
  for (const listing of listings.values()) for (const entry of listing.entries) if (entry.type === 'file' && (entry.mode !== 0o644 || entry.owner !== undefined)) bytes += entry.size
  return [{ path: parts.stateDirectory, bytes }]
}

const newOnNode = (manifest: Manifest, node: Node, missing: readonly TreeRef[]): number =>
  planChanges(null, manifest, node).reduce((sum, { to }) => sum + (to !== null && missing.some((ref) => ref.digest === to.tree.digest) ? to.tree.size : 0), 0)
