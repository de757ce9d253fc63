import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import { canonicalJson } from '../../protocol/bytes.ts'
import type { SiteMonitoring } from '../../protocol/http/monitoring.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { loadSite, siteUnmoved } from '../site/load.ts'
import { decideMonitoring } from './decide.ts'
import { gatherRules } from './gather.ts'
import { viewSiteMonitoring } from './get-site.ts'
import { requireFollowable } from './require-followable.ts'
import { settleSoon } from './settle.ts'

/** Puts a site's own settings in place of those before; the same again changes nothing. Throws `not-found`, and `bad-request` with all that keeps them, over the rules that fit, from being followed. */
export async function putSiteMonitoring(ctx: Ctx, id: string, own: MonitoringSettings): Promise<SiteMonitoring> {
  const row = await loadSite(ctx, id)
  const { rules } = await gatherRules(ctx)
  requireFollowable(decideMonitoring(rules, { id, labels: row.labels, own }).settings, '')
  if (canonicalJson(row.monitoring) === canonicalJson(own)) return viewSiteMonitoring(ctx, row, rules)
  const next = { ...row, monitoring: own, version: row.version + 1 }
  const update = ctx.db.orm.update(site).set({ monitoring: own, monitoringChecked: 0, version: next.version }).where(eq(site.id, id))
  const event = { action: 'site.updated', entity: `site/${id}`, siteId: id, why: 'changed what it watches', detail: { monitoring: own } }
  await ctx.db.write([statement(update), recordEvents(ctx, [event])], [siteUnmoved(row)])
  settleSoon(ctx)
  return viewSiteMonitoring(ctx, next, rules)
}
