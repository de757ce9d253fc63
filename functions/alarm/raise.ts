import { and, eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { alarm, type AlarmRow } from '../../db/schema/alarm.ts'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { AlarmView, alarmContracts } from '../../protocol/http/alarms.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { viewAlarm } from './view.ts'

/** Raises an alarm by hand. One that stands already keeps its time, and is only written when something about it is new. Throws `not-found`. */
export async function raiseAlarm(ctx: Ctx, input: BodyOf<typeof alarmContracts.raiseAlarm>): Promise<AlarmView> {
  const { site: siteId, alarmId, entity, severity, text, gating } = input
  const identity = and(eq(alarm.siteId, siteId), eq(alarm.alarmId, alarmId), eq(alarm.entity, entity))
  const [sites, alarms] = await ctx.db.orm.batch([
    ctx.db.orm.select({ state: site.state }).from(site).where(eq(site.id, siteId)),
    ctx.db.orm.select().from(alarm).where(identity),
  ])
  if (sites[0] === undefined || sites[0].state === 'removed') throw new FleetError('not-found', `there is no site ${siteId}`)
  const known = alarms[0]
  const stands = known !== undefined && known.clearedMs === null
  if (stands && known.severity === severity && known.text === text && known.gating === gating) return viewAlarm(known)
  const row: AlarmRow = { siteId, alarmId, entity, severity, text, gating, raisedMs: stands ? known.raisedMs : ctx.nowMs, clearedMs: null, seq: known?.seq ?? 0 }
  const event = { action: stands ? 'alarm.changed' : 'alarm.raised', entity: `alarm/${alarmId}/${entity}`, siteId, why: text, detail: { severity, gating } }
  const raise = ctx.db.orm.insert(alarm).values(row).onConflictDoUpdate({ target: [alarm.siteId, alarm.alarmId, alarm.entity], set: row })
  await ctx.db.write([statement(raise), recordEvents(ctx, [event])])
  return viewAlarm(row)
}
