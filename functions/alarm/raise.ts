import type { AlarmRow } from '../../db/schema/alarm.ts'
import { fleetSite, gates } from '../../protocol/alarms.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { AlarmView, alarmContracts } from '../../protocol/http/alarms.ts'
import type { Ctx } from '../context.ts'
import { loadSite } from '../site/load.ts'
import { changeAlarm } from './change.ts'
import { getAlarm } from './get.ts'
import { raiseStatement } from './raise-statement.ts'

type Input = BodyOf<typeof alarmContracts.raiseAlarm>

/** Raises an alarm by hand or for another tool. One that stands already keeps its time, and is only written when something about it is new. Throws `not-found`. */
export async function raiseAlarm(ctx: Ctx, input: Input): Promise<AlarmView> {
  const { site: siteId, alarmId, entity, severity, text, gating } = input
  if (siteId !== fleetSite) await loadSite(ctx, siteId)
  await changeAlarm(ctx, input, (row) => {
    const stands = row !== null && row.clearedMs === null
    if (stands && isSame(row, input)) return null
    const raise = raiseStatement(ctx, {
      sql: `SELECT ? AS site_id, ? AS alarm_id, ? AS entity, ? AS severity, ? AS text, ? AS gating, 'tool' AS source, ? AS changed_by, 0 AS incarnation, 0 AS seq, NULL AS site_ms, 0 AS repeat`,
      args: [siteId, alarmId, entity, severity, text, gating === undefined ? null : gating ? 1 : 0, ctx.actor.name],
    })
    return { statement: raise, action: stands ? 'alarm.changed' : 'alarm.raised', why: text === '' ? `raised by ${ctx.actor.name}` : text, detail: { severity, gating: gating ?? gates(alarmId, severity) } }
  })
  return getAlarm(ctx, input)
}

const isSame = (row: AlarmRow, { severity, text, gating }: Input): boolean => row.severity === severity && row.text === text && (gating === undefined || row.gating === gating)
