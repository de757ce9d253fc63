import { and, asc, lte, sql } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { limits } from '../../protocol/limits.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import type { Ctx } from '../context.ts'
import { issueMonitoring, type MonitoringOrder } from '../directive/issue.ts'
import { decideMonitoring } from './decide.ts'
import { digestMonitoring } from './digest.ts'
import { gatherRules } from './gather.ts'

const sitesMax = 200
const waitMsMax = 86_400_000

/**
 * Issues the command to watch otherwise to sites that are online and follow something else than they should: at once, and again after ten
 * minutes, twenty and so on up to a day while they do not. Reads at most `sitesMax` sites, none when none lacks anything, and then all rules;
 * writes two rows a site. Two that run at once tell each site once. Returns how many were told.
 */
export async function tellMonitoring(ctx: Ctx): Promise<number> {
  const lacking = await ctx.db.orm
    .select({ id: site.id, labels: site.labels, own: site.monitoring, wanted: site.monitoringWanted, generation: site.generation, tries: site.monitoringTries })
    .from(site)
    // as the partial index has it
    .where(and(sql`${site.state} = 'enrolled' AND ${site.presence} = 'online' AND ${site.monitoringHeld} <> ${site.monitoringWanted}`, lte(site.monitoringDueMs, ctx.nowMs)))
    .orderBy(asc(site.monitoringDueMs), asc(site.id))
    .limit(sitesMax)
  if (lacking.length === 0) return 0
  const { rules } = await gatherRules(ctx)
  const settingsOf = new Map<string, MonitoringSettings>()
  const orders: MonitoringOrder[] = []
  for (const { id, labels, own, wanted, generation, tries } of lacking) {
    const { settings } = decideMonitoring(rules, { id, labels, own })
    const digest = await digestMonitoring(ctx, settings)
    // the rules have changed since it was worked out: it will be again
    if (digest !== wanted) continue
    settingsOf.set(digest, settings)
    orders.push({ siteId: id, generation, digest, nextMs: ctx.nowMs + Math.min(waitMsMax, limits.commandLifeMs * 2 ** tries) })
  }
  if (orders.length > 0) await ctx.db.write(issueMonitoring(ctx, orders, settingsOf, ctx.nowMs + limits.commandLifeMs))
  return orders.length
}
