import type { BodyOf } from '../../protocol/http/contract.ts'
import type { AlarmView, alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { changeStanding } from './change.ts'

/** Says that somebody has seen an alarm; the first to say so is kept. Throws `not-found`, and `conflict` for one that has cleared. */
export async function acknowledgeAlarm(ctx: Ctx, input: BodyOf<typeof alarmContracts.acknowledgeAlarm>): Promise<AlarmView> {
  const { note, ...identity } = input
  return changeStanding(ctx, identity, (row) =>
    row.acknowledgedMs !== null
      ? null
      : {
          set: { acknowledgedMs: ctx.nowMs, acknowledgedBy: ctx.actor.name, acknowledgedNote: note, note },
          action: 'alarm.acknowledged', why: note === '' ? `acknowledged by ${ctx.actor.name}` : note,
        },
  )
}
