import { and, asc, sql } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import type { Ctx } from '../context.ts'
import { decideMonitoring } from './decide.ts'
import { digestMonitoring } from './digest.ts'
import { gatherRules, generationSql } from './gather.ts'

const sitesMax = 500

/**
 * Writes down what sites are to watch, for those that were not looked at since the rules, their labels or their own settings changed. Reads at
 * most `sitesMax` sites and all rules, and writes one row a site; the next run goes on. A site that was changed meanwhile is left to it.
 * What cannot be followed is wanted of nobody. Returns how many it looked at.
 */
export async function workOutSites(ctx: Ctx): Promise<number> {
  const rows = await ctx.db.orm
    .select({ id: site.id, labels: site.labels, own: site.monitoring, version: site.version })
    .from(site)
    .where(and(sql`${site.state} = 'enrolled'`, sql`${site.monitoringChecked} < ${generationSql}`))
    .orderBy(asc(site.monitoringChecked), asc(site.id))
    .limit(sitesMax)
  if (rows.length === 0) return 0
  const { generation, rules } = await gatherRules(ctx)
  const wanted: [string, number, string | null][] = []
  for (const row of rows) {
    const { settings, faults } = decideMonitoring(rules, row)
    if (faults.length > 0) ctx.log.write('warn', 'monitoring.cannot-be-followed', { site: row.id, first: faults[0] })
    wanted.push([row.id, row.version, faults.length > 0 ? null : await digestMonitoring(ctx, settings)])
  }
  const isNew = 'monitoring_wanted IS NOT j.value->>2'
  await ctx.db.write([
    {
      sql: `UPDATE site SET monitoring_checked = ?, monitoring_wanted = j.value->>2, monitoring_due_ms = iif(${isNew}, 0, monitoring_due_ms), monitoring_tries = iif(${isNew}, 0, monitoring_tries)
            FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.version = j.value->>1 AND site.monitoring_checked < ?`,
      args: [generation, JSON.stringify(wanted), generation],
    },
  ])
  return rows.length
}
