import { alarmIds, fleetSite } from '../../protocol/alarms.ts'
import { at } from '../../protocol/http/contract.ts'
import type { Severity } from '../../protocol/states.ts'
import type { WebhookRow } from '../../db/schema/webhook.ts'
import type { Statement } from '../../db/client.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { endpointEntity } from './gather-events.ts'
import type { Endpoint } from './read-endpoints.ts'

const minorAfterMs = 5 * 60_000
const majorAfterMs = 3_600_000

/** How bad it is that an endpoint does not take its messages; null when it does, has not for a moment only, or a person disabled it. */
function severityOf(row: WebhookRow, nowMs: number): Severity | null {
  if (row.givenUpMs !== null || (row.state === 'disabled' && row.failingSinceMs !== null)) return 'major'
  if (row.failingSinceMs === null || nowMs - row.failingSinceMs < minorAfterMs) return null
  return nowMs - row.failingSinceMs < majorAfterMs ? 'minor' : 'major'
}

function textOf(row: WebhookRow): string {
  if (row.state === 'disabled') return `${row.name} was disabled: ${row.disabledReason ?? ''}`
  const since = row.failingSinceMs === null ? '' : `; all attempts have failed since ${at(row.failingSinceMs)}`
  return row.givenUpMs === null ? `${row.name} takes no messages${since}` : `messages to ${row.name} were given up, none was delivered since${since}`
}

/** Raises and clears the alarms about endpoints, where what stands is not what should. Writes nothing else. */
export async function watchEndpoints(ctx: Ctx, endpoints: readonly Endpoint[]): Promise<void> {
  const changed = endpoints.map(({ row, standing }) => ({ row, standing, wanted: severityOf(row, ctx.nowMs) })).filter(({ standing, wanted }) => standing !== wanted)
  const rows = changed.flatMap(({ row, wanted }) => (wanted === null ? [] : [[endpointEntity(row.id), wanted, textOf(row)]]))
  const cleared = changed.filter(({ wanted }) => wanted === null).map(({ row }) => row.id)
  const statements = [
    ...(rows.length === 0 ? [] : raiseConditions(ctx, {
      sql: `SELECT '${fleetSite}' AS site_id, '${alarmIds.webhookFailing}' AS alarm_id, value->>0 AS entity, value->>1 AS severity, value->>2 AS text FROM json_each(?)`, args: [JSON.stringify(rows)],
    })),
    ...(cleared.length === 0 ? [] : clearEndpoints(ctx, cleared)),
  ]
  if (statements.length > 0) await ctx.db.write(statements)
}

/** Clears the alarms about these endpoints. */
export const clearEndpoints = (ctx: Ctx, webhookIds: readonly string[]): Statement[] =>
  clearConditions(ctx, { sql: `SELECT '${fleetSite}' AS site_id, '${alarmIds.webhookFailing}' AS alarm_id, value AS entity FROM json_each(?)`, args: [JSON.stringify(webhookIds.map(endpointEntity))] })
