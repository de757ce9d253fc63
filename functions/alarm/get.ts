import type { AlarmView } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { loadAlarm, type Identity } from './load.ts'
import { viewAlarm } from './view.ts'

/** One alarm, standing or lately cleared. Throws `not-found`. Reads two rows. */
export async function getAlarm(ctx: Ctx, identity: Identity): Promise<AlarmView> {
  const { row, presence } = await loadAlarm(ctx, identity)
  return viewAlarm(row, presence, ctx.nowMs)
}
