import type { AlarmRow } from '../../db/schema/alarm.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import type { Presence } from '../../protocol/states.ts'

/** The alarms that say why a site's others are suppressed: they are not. */
const saysAbsence: readonly string[] = [alarmIds.siteOffline, alarmIds.siteSuspect]

/**
 * What first keeps an alarm from asking for attention; `active` if nothing does. `presence` is its site's, null for one of the fleet. A tool's alarm about an offline
 * site is as true as before; what the site itself or the controller says of it may have changed unseen.
 */
export function judgeAlarm(row: AlarmRow, presence: Presence | null): AlarmView['state'] {
  if (row.clearedMs !== null) return 'cleared'
  if (row.shelvedUntilMs !== null) return 'shelved'
  if (row.silenced) return 'silenced'
  if (row.acknowledgedMs !== null) return 'acknowledged'
  return (presence === 'offline' || presence === 'suspect') && row.source !== 'tool' && !saysAbsence.includes(row.alarmId) ? 'suppressed' : 'active'
}

/** Whether it came and went too often of late to be written each time: its end is believed later. */
export const judgeFlapping = (row: AlarmRow, nowMs: number): boolean => row.clearedMs === null && row.flaps > limits.alarmFlapsMax && row.flapsSinceMs > nowMs - limits.alarmFlapWindowMs
