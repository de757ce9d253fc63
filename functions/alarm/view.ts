import type { AlarmRow } from '../../db/schema/alarm.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import type { SiteId } from '../../protocol/ids.ts'

export const viewAlarm = (row: AlarmRow): AlarmView => ({
  site: row.siteId as SiteId, alarmId: row.alarmId, entity: row.entity, severity: row.severity, text: row.text, gating: row.gating, raisedAt: at(row.raisedMs), clearedAt: atOrNull(row.clearedMs),
})
