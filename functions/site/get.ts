import { eq } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { SiteView } from '../../protocol/http/sites.ts'
import type { Ctx } from '../context.ts'
import { viewSite } from './view.ts'

/** One site; a removed one is still shown, as `removed`. Throws `not-found`. */
export async function getSite(ctx: Ctx, id: string): Promise<SiteView> {
  const [row] = await ctx.db.orm.select().from(site).where(eq(site.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no site ${id}`)
  return viewSite(row)
}
