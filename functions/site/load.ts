import { eq } from 'drizzle-orm'
import { site, type SiteRow } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Guard } from '../../db/client.ts'
import type { Ctx } from '../context.ts'

/** A site that an operator may still act on. Throws `not-found` for one that is not there or was removed. */
export async function loadSite(ctx: Pick<Ctx, 'db'>, id: string): Promise<SiteRow> {
  const [row] = await ctx.db.orm.select().from(site).where(eq(site.id, id))
  if (row === undefined || row.state === 'removed') throw new FleetError('not-found', `there is no site ${id}`)
  return row
}

/** The site is still at the version it was read with. */
export const siteUnmoved = (row: SiteRow): Guard => ({ sql: 'SELECT version FROM site WHERE id = ?', args: [row.id], is: row.version })
