import { and, eq, isNull } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { alarm } from '../../db/schema/alarm.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { alarmContracts } from '../../protocol/http/alarms.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'

/** Clears an alarm; `cleared` is false when none stood. */
export async function clearAlarm(ctx: Ctx, input: BodyOf<typeof alarmContracts.clearAlarm>): Promise<{ cleared: boolean }> {
  const { site: siteId, alarmId, entity } = input
  const standing = and(eq(alarm.siteId, siteId), eq(alarm.alarmId, alarmId), eq(alarm.entity, entity), isNull(alarm.clearedMs))
  const clear = ctx.db.orm.update(alarm).set({ clearedMs: ctx.nowMs }).where(standing)
  const event = { action: 'alarm.cleared', entity: `alarm/${alarmId}/${entity}`, siteId, why: `cleared by ${ctx.actor.name}` }
  const stands = { sql: 'SELECT EXISTS (SELECT 1 FROM alarm WHERE site_id = ? AND alarm_id = ? AND entity = ? AND cleared_ms IS NULL)', args: [siteId, alarmId, entity], is: 1 }
  try {
    await ctx.db.write([statement(clear), recordEvents(ctx, [event])], [stands])
    return { cleared: true }
  } catch (error) {
    if (error instanceof GuardLost) return { cleared: false }
    throw error
  }
}
