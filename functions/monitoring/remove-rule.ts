import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { monitoringRule } from '../../db/schema/metric.ts'
import { FleetError } from '../../protocol/errors.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { nextGeneration } from './gather.ts'
import { ruleUnmoved } from './put-rule.ts'
import { settleSoon } from './settle.ts'

/** Removes a rule: the sites it fitted go on without it. Throws `not-found`. */
export async function removeRule(ctx: Ctx, name: string): Promise<null> {
  const [known] = await ctx.db.orm.select().from(monitoringRule).where(eq(monitoringRule.name, name))
  if (known === undefined) throw new FleetError('not-found', `there is no rule ${name}`)
  const { labelSelector, priority, settings } = known
  const event = { action: 'monitoring.removed', entity: `monitoring/${name}`, why: `removed by ${ctx.actor.name}`, detail: { labelSelector, priority, settings } }
  await ctx.db.write([statement(ctx.db.orm.delete(monitoringRule).where(eq(monitoringRule.name, name))), nextGeneration, recordEvents(ctx, [event])], [ruleUnmoved(name, known.version)])
  settleSoon(ctx)
  return null
}
