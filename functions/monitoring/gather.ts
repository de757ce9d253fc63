import { sql } from 'drizzle-orm'
import { monitoringRule } from '../../db/schema/metric.ts'
import { parseSelector } from '../../protocol/labels.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import type { Rule } from './decide.ts'

/** All rules, and the generation that counts their changes, as of one moment. Reads at most `monitoringRulesMax` rows and one. */
export async function gatherRules(ctx: Pick<Ctx, 'db'>): Promise<{ generation: number; rules: Rule[] }> {
  const [generations, rows] = await ctx.db.orm.batch([
    ctx.db.orm.select({ generation: generationSql }).from(sql`(SELECT 1)`),
    ctx.db.orm.select().from(monitoringRule).limit(limits.monitoringRulesMax),
  ])
  return { generation: generations[0]!.generation, rules: rows.map(({ name, priority, labelSelector, settings }) => ({ name, priority, selector: parseSelector(labelSelector), settings })) }
}

/** It begins at 1: a site whose row says 0 has not been looked at. */
export const generationSql = sql<number>`coalesce((SELECT value->>'generation' FROM setting WHERE key = 'monitoring'), 1)`

/** A change of the rules, which makes every site be looked at again. */
export const nextGeneration = {
  sql: `INSERT INTO setting (key, value) VALUES ('monitoring', json_object('generation', 2)) ON CONFLICT (key) DO UPDATE SET value = json_object('generation', setting.value->>'generation' + 1)`,
  args: [],
}
