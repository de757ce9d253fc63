import { sql } from 'drizzle-orm'
import type { Labels } from '../../protocol/labels.ts'
import { limits } from '../../protocol/limits.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import type { Ctx } from '../context.ts'
import { issueMonitoring, type MonitoringOrder } from '../directive/issue.ts'
import { decideMonitoring } from './decide.ts'
import { digestMonitoring } from './digest.ts'
import { gatherRules } from './gather.ts'

type LackingRow = { id: string; labels: string; monitoring: string; wanted: string; generation: number; tries: number }

const sitesMax = 200
const waitMsMax = 86_400_000

/**
 * Issues the command to watch otherwise to sites that are online and follow something else than they should: at once, and again after ten
 * minutes, twenty and so on up to a day while they do not. Reads at most `sitesMax` sites, none when none lacks anything, and then all rules;
 * writes two rows a site. Two that run at once tell each site once. Returns how many were told.
 */
export async function tellMonitoring(ctx: Ctx): Promise<number> {
  // the planner would rather walk all sites that are online
  const lacking = await ctx.db.orm.all<LackingRow>(sql`
    SELECT id, labels, monitoring, monitoring_wanted AS wanted, generation, monitoring_tries AS tries FROM site INDEXED BY site_monitoring_lacking
    WHERE state = 'enrolled' AND presence = 'online' AND monitoring_held <> monitoring_wanted AND monitoring_due_ms <= ${ctx.nowMs} ORDER BY monitoring_due_ms, id LIMIT ${sitesMax}`)
  if (lacking.length === 0) return 0
  const { rules } = await gatherRules(ctx)
  const settingsOf = new Map<string, MonitoringSettings>()
  const orders: MonitoringOrder[] = []
  for (const { id, labels, monitoring, wanted, generation, tries } of lacking) {
    const { settings } = decideMonitoring(rules, { id, labels: JSON.parse(labels) as Labels, own: JSON.parse(monitoring) as MonitoringSettings })
    const digest = await digestMonitoring(ctx, settings)
    // the rules have changed since it was worked out: it will be again
    if (digest !== wanted) continue
    settingsOf.set(digest, settings)
    orders.push({ siteId: id, generation, digest, nextMs: ctx.nowMs + Math.min(waitMsMax, limits.commandLifeMs * 2 ** tries) })
  }
  if (orders.length > 0) await ctx.db.write(issueMonitoring(ctx, orders, settingsOf, ctx.nowMs + limits.commandLifeMs))
  return orders.length
}
