import type { SiteRow } from '../../db/schema/fleet.ts'
import type { SiteMonitoring } from '../../protocol/http/monitoring.ts'
import type { SiteId } from '../../protocol/ids.ts'
import type { Ctx } from '../context.ts'
import { loadSite } from '../site/load.ts'
import { decideMonitoring, type Rule } from './decide.ts'
import { digestMonitoring } from './digest.ts'
import { gatherRules } from './gather.ts'

/** What a site watches as the rules are now. Reads the site and all rules. Throws `not-found`. */
export async function getSiteMonitoring(ctx: Ctx, id: string): Promise<SiteMonitoring> {
  const row = await loadSite(ctx, id)
  const { rules } = await gatherRules(ctx)
  return viewSiteMonitoring(ctx, row, rules)
}

/** As above, from what was read. */
export async function viewSiteMonitoring(ctx: Ctx, row: SiteRow, rules: readonly Rule[]): Promise<SiteMonitoring> {
  const { rules: names, settings, faults } = decideMonitoring(rules, { id: row.id, labels: row.labels, own: row.monitoring })
  const followable = faults.length === 0
  const digest = followable ? await digestMonitoring(ctx, settings) : null
  return { site: row.id as SiteId, own: row.monitoring, rules: names, effective: followable ? settings : null, faults, digest, held: row.monitoringHeld === null ? null : row.monitoringHeld === digest, version: row.version }
}
