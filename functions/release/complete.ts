import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { release } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ReleaseView } from '../../protocol/http/releases.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { loadRelease, releaseUnmoved } from './load.ts'
import { viewRelease } from './view.ts'

/** Hands a release to the confirming job, also one that was rejected and has got its missing objects since. Throws `conflict` for a withdrawn one. */
export async function completeRelease(ctx: Ctx, id: string): Promise<ReleaseView> {
  const row = await loadRelease(ctx, id)
  if (row.state === 'checking' || row.state === 'available') return viewRelease(row)
  if (row.state === 'withdrawn') throw new FleetError('conflict', `${id} was withdrawn`, { reason: 'withdrawn' })
  const next = { ...row, state: 'checking' as const, detail: 'its objects are being confirmed', objectsConfirmed: 0, version: row.version + 1 }
  const { state, detail, objectsConfirmed, version } = next
  const update = ctx.db.orm.update(release).set({ state, detail, objectsConfirmed, version }).where(eq(release.id, id))
  const event = { action: 'release.completed', entity: `release/${id}`, why: 'its publisher has uploaded everything' }
  await ctx.db.write([statement(update), recordEvents(ctx, [event])], [releaseUnmoved(id, row.version)])
  return viewRelease(next)
}
