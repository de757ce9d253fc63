import { eq } from 'drizzle-orm'
import { GuardLost, statement, type Statement } from '../../db/client.ts'
import { release, type ReleaseRow } from '../../db/schema/release.ts'
import { canonicalJson, fromUtf8 } from '../../protocol/bytes.ts'
import { listingLocationFault } from '../../protocol/delivery.ts'
import { parsePayload } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import { DeliveryIndex, TreeListing } from '../../protocol/manifest.ts'
import { refuse, type Result } from '../../protocol/result.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { claimObjects } from './claim-objects.ts'
import { headObjects } from './head-objects.ts'
import { judgeListing } from './judge.ts'
import { loadRelease, releaseUnmoved } from './load.ts'
import { readObject } from './read-object.ts'

type Changes = Partial<Pick<ReleaseRow, 'state' | 'detail' | 'objects' | 'storedBytes' | 'objectsConfirmed' | 'availableMs'>>

/**
 * One step of confirming a release that is `checking`; returns its state after it. The first step reads every listing (at
 * most `componentsMax`) and holds the index against the manifest; each step claims at most `uploadsPerRequestMax` objects,
 * asks the store for them, and goes on in one batch guarded by the release's version. The last makes it
 * `available`, the first fault `rejected` (F56). Twice or at once it does the same; an error of the store changes nothing.
 */
export async function confirmRelease(ctx: Ctx, id: string): Promise<ReleaseRow['state']> {
  const row = await loadRelease(ctx, id)
  if (row.state !== 'checking') return row.state
  const index = await loadIndex(ctx, row)
  if (!index.ok) return reject(ctx, row, index.refusal)
  if (row.objectsConfirmed === 0) {
    const fault = await judgeTrees(ctx, row, index.value)
    if (fault !== null) return reject(ctx, row, fault)
  }
  return confirmObjects(ctx, row, index.value)
}

async function loadIndex(ctx: Ctx, row: ReleaseRow): Promise<Result<DeliveryIndex, string>> {
  const bytes = await readObject(ctx, row.indexDigest, row.indexBytes)
  if (!bytes.ok) return refuse(`delivery index: ${bytes.refusal}`)
  const parsed = parsePayload(DeliveryIndex, bytes.value)
  return parsed.ok ? parsed : refuse(`the delivery index is malformed: ${parsed.refusal.detail}`)
}

async function judgeTrees(ctx: Ctx, row: ReleaseRow, index: DeliveryIndex): Promise<string | null> {
  for (const { name, tree } of row.manifest.components) {
    const misplaced = listingLocationFault(tree, index)
    if (misplaced !== null) return `listing of ${name}: ${misplaced}`
    const bytes = await readObject(ctx, tree.digest, tree.listingBytes)
    if (!bytes.ok) return `listing of ${name}: ${bytes.refusal}`
    const listing = parsePayload(TreeListing, bytes.value)
    if (!listing.ok) return `the listing of ${name} is malformed: ${listing.refusal.detail}`
    if (canonicalJson(listing.value) !== fromUtf8(bytes.value)) return `the listing of ${name} is not canonical JSON`
    const fault = judgeListing(tree, listing.value, index)
    if (fault !== null) return `${name}: ${fault}`
  }
  return null
}

async function confirmObjects(ctx: Ctx, row: ReleaseRow, index: DeliveryIndex): Promise<ReleaseRow['state']> {
  const objects = Object.keys({ ...index.objects, [row.indexDigest]: row.indexBytes }).sort()
  const lot = objects.slice(row.objectsConfirmed, row.objectsConfirmed + limits.uploadsPerRequestMax)
  const sizeOf = (object: string): number => (object === row.indexDigest ? row.indexBytes : index.objects[object as keyof typeof index.objects]!)
  await claimObjects(ctx, row.id, lot.map((object) => ({ digest: object, size: sizeOf(object) })))
  const stored = await headObjects(ctx, lot)
  const faulty = lot.filter((object) => stored.get(object) !== sizeOf(object))
  if (faulty.length > 0) return reject(ctx, row, `the store lacks ${faulty.length} of its objects: ${faulty.join(', ')}`)
  const objectsConfirmed = row.objectsConfirmed + lot.length
  const done = objectsConfirmed === objects.length
  const storedBytes = objects.reduce((sum, object) => sum + sizeOf(object), 0)
  const changes: Changes = { objects: objects.length, storedBytes, objectsConfirmed, detail: `${objectsConfirmed} of ${objects.length} objects are confirmed` }
  if (!done) return move(ctx, row, changes, [])
  const event = { action: 'release.available', entity: `release/${row.id}`, why: `the store has all ${objects.length} objects`, detail: { storedBytes } }
  return move(ctx, row, { ...changes, state: 'available', detail: '', availableMs: ctx.nowMs }, [recordEvents(ctx, [event])])
}

function reject(ctx: Ctx, row: ReleaseRow, fault: string): Promise<ReleaseRow['state']> {
  const detail = fault.length <= limits.reasonLengthMax ? fault : `${fault.slice(0, limits.reasonLengthMax - 1)}…`
  return move(ctx, row, { state: 'rejected', detail, objectsConfirmed: 0 }, [recordEvents(ctx, [{ action: 'release.rejected', entity: `release/${row.id}`, why: detail }])])
}

/** Whoever else moved the release in the meantime has done this step or made it void: that is no error. */
async function move(ctx: Ctx, row: ReleaseRow, changes: Changes, more: readonly Statement[]): Promise<ReleaseRow['state']> {
  const update = ctx.db.orm.update(release).set({ ...changes, version: row.version + 1 }).where(eq(release.id, row.id))
  try {
    await ctx.db.write([statement(update), ...more], [releaseUnmoved(row.id, row.version)])
    return changes.state ?? row.state
  } catch (error) {
    if (error instanceof GuardLost) return (await loadRelease(ctx, row.id)).state
    throw error
  }
}
