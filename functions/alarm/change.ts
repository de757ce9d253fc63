import { and, eq } from 'drizzle-orm'
import { GuardLost, statement, type Statement } from '../../db/client.ts'
import { alarm, type AlarmRow } from '../../db/schema/alarm.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { heedAlarms, wakeHeld } from './heed-alarms.ts'
import { alarmUnmoved, findAlarm, loadAlarm, type Identity } from './load.ts'
import { viewAlarm } from './view.ts'

/** What an operator's verb does to an alarm; null when it already is as asked. */
export type Change = { statement: Statement; action: string; why: string; detail?: Record<string, unknown> } | null

/**
 * The way of every operator's verb: read the row (null where there is none), compute the change, write it with its audit entry, guarded by the row as it was read.
 * Whether anything changed; rejects with GuardLost when others were faster every time.
 */
export async function changeAlarm(ctx: Ctx, identity: Identity, compute: (row: AlarmRow | null) => Change): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    const row = (await findAlarm(ctx, identity))?.row ?? null
    const change = compute(row)
    if (change === null) return false
    const { statement: write, ...event } = change
    try {
      const heeding = [heedAlarms(ctx, { sql: 'SELECT ?', args: [identity.site] }), ...(row?.gating === true ? [wakeHeld(ctx, identity.site)] : [])]
      await ctx.db.write([write, ...heeding, recordEvents(ctx, [{ ...event, entity: `alarm/${identity.alarmId}/${identity.entity}`, siteId: identity.site }])], [alarmUnmoved(identity, row)])
      return true
    } catch (error) {
      if (!(error instanceof GuardLost) || attempt >= limits.casAttemptsMax) throw error
    }
  }
}

/** Changes columns of an alarm that stands, and returns it. Throws `not-found`, and `conflict` for one that has cleared. */
export async function changeStanding(ctx: Ctx, identity: Identity, compute: (row: AlarmRow) => { set: Partial<AlarmRow>; action: string; why: string; detail?: Record<string, unknown> } | null): Promise<AlarmView> {
  await changeAlarm(ctx, identity, (row) => {
    if (row === null) throw new FleetError('not-found', `${identity.site} has no alarm ${identity.alarmId} of ${identity.entity}`)
    if (row.clearedMs !== null) throw new FleetError('conflict', `alarm ${identity.alarmId} of ${identity.entity} does not stand any more`, { reason: 'cleared' })
    const change = compute(row)
    if (change === null) return null
    const { set, ...event } = change
    return { ...event, statement: updateAlarm(ctx, identity, { note: '', ...set }) }
  })
  const { row, presence } = await loadAlarm(ctx, identity)
  return viewAlarm(row, presence, ctx.nowMs)
}

/** Sets columns of one alarm, in the name of whoever asks. */
export const updateAlarm = (ctx: Ctx, { site: siteId, alarmId, entity }: Identity, set: Partial<AlarmRow>): Statement =>
  statement(ctx.db.orm.update(alarm).set({ changedMs: ctx.nowMs, changedBy: ctx.actor.name, ...set }).where(and(eq(alarm.siteId, siteId), eq(alarm.alarmId, alarmId), eq(alarm.entity, entity))))
