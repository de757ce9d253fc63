import { eq } from 'drizzle-orm'
import type { Guard } from '../../db/client.ts'
import { release, type ReleaseRow } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'

/** Throws `not-found`. */
export async function loadRelease(ctx: Pick<Ctx, 'db'>, id: string): Promise<ReleaseRow> {
  const [row] = await ctx.db.orm.select().from(release).where(eq(release.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no release ${id}`)
  return row
}

/** The release, if its objects were not given up. Throws `conflict` where they were. */
export async function requireKept(ctx: Pick<Ctx, 'db'>, id: string): Promise<ReleaseRow> {
  const row = await loadRelease(ctx, id)
  if (row.collectedMs !== null) throw new FleetError('conflict', `the objects of ${id} were collected: ${row.detail}`, { reason: 'collected' })
  return row
}

/** The release is still at the version it was read with; null: there still is none. */
export const releaseUnmoved = (id: string, version: number | null): Guard => ({ sql: 'SELECT version FROM release WHERE id = ?', args: [id], is: version })
