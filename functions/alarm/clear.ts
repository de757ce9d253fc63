import type { BodyOf } from '../../protocol/http/contract.ts'
import type { alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { changeAlarm, updateAlarm } from './change.ts'

/** Clears an alarm, however often it came and went; `cleared` is false when none stood. */
export async function clearAlarm(ctx: Ctx, input: BodyOf<typeof alarmContracts.clearAlarm>): Promise<{ cleared: boolean }> {
  const { reason, ...identity } = input
  const cleared = await changeAlarm(ctx, identity, (row) =>
    row === null || row.clearedMs !== null
      ? null
      : {
          statement: updateAlarm(ctx, identity, { clearedMs: ctx.nowMs, silenced: false, withheld: false, note: reason }),
          action: 'alarm.cleared', why: reason === '' ? `cleared by ${ctx.actor.name}` : reason,
        },
  )
  return { cleared }
}
