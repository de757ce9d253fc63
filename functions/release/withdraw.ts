import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { release } from '../../db/schema/release.ts'
import type { ReleaseView } from '../../protocol/http/releases.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { loadRelease, releaseUnmoved } from './load.ts'
import { viewRelease } from './view.ts'

/** Keeps a release out of new rollouts, whatever state it was in; withdrawing it again changes nothing. */
export async function withdrawRelease(ctx: Ctx, id: string, input: { reason: string; ifMatch: number | null }): Promise<ReleaseView> {
  const row = await loadRelease(ctx, id)
  if (row.state === 'withdrawn') return viewRelease(row)
  checkIfMatch(input.ifMatch, row.version)
  const change = { state: 'withdrawn' as const, detail: input.reason, version: row.version + 1 }
  const event = { action: 'release.withdrawn', entity: `release/${id}`, why: input.reason }
  await ctx.db.write([statement(ctx.db.orm.update(release).set(change).where(eq(release.id, id))), recordEvents(ctx, [event])], [releaseUnmoved(id, row.version)])
  return viewRelease({ ...row, ...change })
}
