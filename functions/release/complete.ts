import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { release, type ReleaseRow } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ReleaseView } from '../../protocol/http/releases.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { keepManifest } from './keep-manifest.ts'
import { releaseUnmoved, requireKept } from './load.ts'
import { viewRelease } from './view.ts'

/** Hands a release to the confirming job, also one that was rejected and has got its missing objects since. Throws `conflict` for a withdrawn one. */
export async function completeRelease(ctx: Ctx, id: string): Promise<ReleaseView> {
  const row = await requireKept(ctx, id)
  if (row.state === 'checking' || (row.state === 'available' && row.detail === '')) return viewRelease(row)
  if (row.state === 'available') return mended(ctx, row)
  if (row.state === 'withdrawn') throw new FleetError('conflict', `${id} was withdrawn`, { reason: 'withdrawn' })
  await keepManifest(ctx, row)
  const next = { ...row, state: 'checking' as const, detail: 'its objects are being confirmed', objectsConfirmed: 0, version: row.version + 1 }
  const { state, detail, objectsConfirmed, version } = next
  const update = ctx.db.orm.update(release).set({ state, detail, objectsConfirmed, version }).where(eq(release.id, id))
  const event = { action: 'release.completed', entity: `release/${id}`, why: 'its publisher has uploaded everything' }
  await ctx.db.write([statement(update), recordEvents(ctx, [event])], [releaseUnmoved(id, row.version)])
  return viewRelease(next)
}

/** Its publisher has put back what a site could not fetch: sites may try again. It never ceased to be available. */
async function mended(ctx: Ctx, row: ReleaseRow): Promise<ReleaseView> {
  const next = { ...row, detail: '', version: row.version + 1 }
  const event = { action: 'release.mended', entity: `release/${row.id}`, why: `its publisher has uploaded what was missing: ${row.detail}` }
  await ctx.db.write([statement(ctx.db.orm.update(release).set({ detail: '', version: next.version }).where(eq(release.id, row.id))), recordEvents(ctx, [event])], [releaseUnmoved(row.id, row.version)])
  return viewRelease(next)
}
