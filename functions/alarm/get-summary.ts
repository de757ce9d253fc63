import { tally } from '../../db/schema/alarm.ts'
import type { FleetSummary } from '../../protocol/http/alarms.ts'
import { presences, severities } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'

/** The fleet in a few numbers, which the database keeps itself: reads some twenty rows, however large the fleet is. */
export async function getSummary(ctx: Ctx): Promise<FleetSummary> {
  const rows = await ctx.db.orm.select().from(tally)
  const numbers = new Map(rows.map(({ kind, key, n }) => [`${kind} ${key}`, n]))
  const sites = (key: string): number => numbers.get(`site ${key}`) ?? 0
  const alarms = (key: string): number => numbers.get(`alarm ${key}`) ?? 0
  return {
    sites: { ...Object.fromEntries(presences.map((presence) => [presence, sites(presence)])), claimed: sites('claimed') },
    alarms: Object.fromEntries(severities.map((each) => [each, { active: alarms(`${each}/active`), acknowledged: alarms(`${each}/acknowledged`), shelved: alarms(`${each}/shelved`), silenced: alarms(`${each}/silenced`) }])),
  } as FleetSummary
}
