import type { AlarmRow } from '../../db/schema/alarm.ts'
import { alarmCatalogue } from '../../protocol/alarms.ts'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { Presence } from '../../protocol/states.ts'
import { judgeAlarm, judgeFlapping } from './judge.ts'

/** An alarm as the API shows it; its texts are as they came, and whoever prints them makes them inert. */
export function viewAlarm(row: AlarmRow, presence: Presence | null, nowMs: number): AlarmView {
  const { acknowledgedMs, shelvedUntilMs } = row
  const known = alarmCatalogue.get(row.alarmId)
  return {
    site: row.siteId as AlarmView['site'], alarmId: row.alarmId, entity: row.entity, severity: row.severity, text: row.text,
    state: judgeAlarm(row, presence), source: row.source, gating: row.gating, flapping: judgeFlapping(row, nowMs),
    raisedAt: at(row.raisedMs), changedAt: at(Math.max(row.changedMs, row.raisedMs)), clearedAt: atOrNull(row.clearedMs), siteTime: atOrNull(row.siteMs),
    acknowledged: acknowledgedMs === null ? null : { at: at(acknowledgedMs), by: row.acknowledgedBy ?? '', note: row.acknowledgedNote ?? '' },
    shelved: shelvedUntilMs === null ? null : { until: at(shelvedUntilMs), by: row.shelvedBy ?? '', reason: row.shelvedReason ?? '' },
    catalogue: known === undefined ? null : { name: known.name, meaning: known.meaning, probableCause: known.probableCause, repair: known.repair },
  }
}
