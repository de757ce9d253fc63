import { eq, sql } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { monitoringRule } from '../../db/schema/metric.ts'
import { canonicalJson } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { MonitoringRule, monitoringContracts } from '../../protocol/http/monitoring.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { readSelector } from '../site/select.ts'
import { nextGeneration } from './gather.ts'
import { requireFollowable } from './require-followable.ts'
import { settleSoon } from './settle.ts'

/** Makes a rule, or puts another in its place; the same again changes nothing. Throws `bad-request` with every fault of it, and `conflict` when there are as many as may be. */
export async function putRule(ctx: Ctx, name: string, body: BodyOf<typeof monitoringContracts.putMonitoringRule>): Promise<MonitoringRule> {
  const { labelSelector, priority, settings } = body
  const selector = readSelector(labelSelector, 'labelSelector')
  if (Object.keys(selector).length === 0) throw new FleetError('bad-request', 'the selector selects nothing; * means every site', { errors: [{ path: 'labelSelector', message: 'selects nothing; * means every site' }] })
  requireFollowable(settings, 'settings')
  const [rows, counts] = await ctx.db.orm.batch([
    ctx.db.orm.select().from(monitoringRule).where(eq(monitoringRule.name, name)),
    ctx.db.orm.select({ n: sql<number>`count(*)` }).from(monitoringRule),
  ])
  const known = rows[0]
  if (known === undefined && counts[0]!.n >= limits.monitoringRulesMax) throw new FleetError('conflict', `there are ${limits.monitoringRulesMax} rules already, and no more may be`, { reason: 'too-many' })
  const rule = { name, labelSelector, priority, settings, version: (known?.version ?? 0) + 1 }
  if (known !== undefined && canonicalJson({ ...known, version: 0 }) === canonicalJson({ ...rule, version: 0 })) return known
  const put = ctx.db.orm.insert(monitoringRule).values(rule).onConflictDoUpdate({ target: monitoringRule.name, set: rule })
  const event = { action: known === undefined ? 'monitoring.created' : 'monitoring.updated', entity: `monitoring/${name}`, why: `for ${labelSelector}`, detail: { labelSelector, priority, settings } }
  await ctx.db.write([statement(put), nextGeneration, recordEvents(ctx, [event])], [ruleUnmoved(name, known?.version ?? null)])
  settleSoon(ctx)
  return rule
}

/** The rule is still at the version it was read with; null: there is none. */
export const ruleUnmoved = (name: string, version: number | null) => ({ sql: 'SELECT version FROM monitoring_rule WHERE name = ?', args: [name], is: version })
