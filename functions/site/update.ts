import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { siteContracts, SiteView } from '../../protocol/http/sites.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { siteJoined } from '../rollout/join.ts'
import { reconsiderSite } from '../rollout/reconsider-site.ts'
import { checkSettings } from './check-settings.ts'
import { loadSite, siteUnmoved } from './load.ts'
import { viewSite } from './view.ts'

/** Changes what is given and leaves the rest. Throws `not-found`, `precondition-failed`, and `bad-request` for schedules that cannot be. */
export async function updateSite(ctx: Ctx, id: string, input: BodyOf<typeof siteContracts.updateSite> & { ifMatch: number | null }): Promise<SiteView> {
  const { ifMatch, ...changes } = input
  checkSettings(changes)
  const row = await loadSite(ctx, id)
  checkIfMatch(ifMatch, row.version)
  if (Object.keys(changes).length === 0) return viewSite(row)
  const next = { ...row, ...changes, version: row.version + 1 }
  // the rules of what it watches may fit it no more
  const reconsidered = changes.labels === undefined ? {} : { monitoringChecked: 0 }
  const update = ctx.db.orm.update(site).set({ ...changes, ...reconsidered, version: next.version }).where(eq(site.id, id))
  const event = { action: 'site.updated', entity: `site/${id}`, siteId: id, why: `changed ${Object.keys(changes).join(', ')}`, detail: changes }
  await ctx.db.write([statement(update), ...reconsiderSite(id, ctx.nowMs), recordEvents(ctx, [event])], [siteUnmoved(row)])
  if (changes.labels !== undefined) await siteJoined(ctx, id)
  return viewSite(next)
}
