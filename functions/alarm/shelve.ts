import type { BodyOf } from '../../protocol/http/contract.ts'
import type { AlarmView, alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { changeStanding } from './change.ts'

/** Puts an alarm aside for a while from now; said again, the new time counts. It stays there when it clears and comes back. Throws `not-found`, and `conflict` for one that has cleared. */
export async function shelveAlarm(ctx: Ctx, input: BodyOf<typeof alarmContracts.shelveAlarm>): Promise<AlarmView> {
  const { duration, reason, ...identity } = input
  const untilMs = ctx.nowMs + duration
  return changeStanding(ctx, identity, (row) =>
    row.shelvedUntilMs === untilMs && row.shelvedReason === reason
      ? null
      : { set: { shelvedUntilMs: untilMs, shelvedBy: ctx.actor.name, shelvedReason: reason, note: reason }, action: 'alarm.shelved', why: reason, detail: { untilMs } },
  )
}
