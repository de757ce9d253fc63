import type { BodyOf } from '../../protocol/http/contract.ts'
import type { AlarmView, alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { changeStanding } from './change.ts'

/** Takes an alarm back from the shelf; one that does not lie there stays as it is. Throws `not-found`, and `conflict` for one that has cleared. */
export async function unshelveAlarm(ctx: Ctx, identity: BodyOf<typeof alarmContracts.unshelveAlarm>): Promise<AlarmView> {
  return changeStanding(ctx, identity, (row) =>
    row.shelvedUntilMs === null ? null : { set: { shelvedUntilMs: null, shelvedBy: null, shelvedReason: null }, action: 'alarm.unshelved', why: `taken from the shelf by ${ctx.actor.name}` },
  )
}
