import { and, eq } from 'drizzle-orm'
import type { Guard } from '../../db/client.ts'
import { alarm, type AlarmRow } from '../../db/schema/alarm.ts'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Presence } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'

export type Identity = { site: string; alarmId: string; entity: string }
/** An alarm, and the presence of its site; null for one of the fleet. */
export type Found = { row: AlarmRow; presence: Presence | null }

/** The alarm, or null where there is none. */
export async function findAlarm(ctx: Pick<Ctx, 'db'>, { site: siteId, alarmId, entity }: Identity): Promise<Found | null> {
  const found = await ctx.db.orm.select({ row: alarm, presence: site.presence }).from(alarm).leftJoin(site, eq(site.id, alarm.siteId)).where(and(eq(alarm.siteId, siteId), eq(alarm.alarmId, alarmId), eq(alarm.entity, entity)))
  return found[0] ?? null
}

/** The alarm. Throws `not-found`. */
export async function loadAlarm(ctx: Pick<Ctx, 'db'>, identity: Identity): Promise<Found> {
  const found = await findAlarm(ctx, identity)
  if (found === null) throw new FleetError('not-found', `${identity.site} has no alarm ${identity.alarmId} of ${identity.entity}`)
  return found
}

/** It is still as it was read, in all that operators decide about; `row` is null where there was none. */
export const alarmUnmoved = ({ site: siteId, alarmId, entity }: Identity, row: AlarmRow | null): Guard => ({
  sql: `SELECT json_array(severity, gating, raised_ms, cleared_ms, acknowledged_ms, shelved_until_ms, changed_ms) FROM alarm WHERE site_id = ? AND alarm_id = ? AND entity = ?`,
  args: [siteId, alarmId, entity],
  is: row === null ? null : JSON.stringify([row.severity, row.gating ? 1 : 0, row.raisedMs, row.clearedMs, row.acknowledgedMs, row.shelvedUntilMs, row.changedMs]),
})
