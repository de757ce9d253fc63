import type { Statement } from '../../db/client.ts'
import { alarmIds, fleetSite } from '../../protocol/alarms.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'

const byItself = `FROM json_each(r.pauses) WHERE value->>'reason' <> 'operator'`
const waits = `(r.state IN ('scheduled', 'running') AND EXISTS (SELECT 1 ${byItself}))`

/** Behind whatever changes a rollout's pauses or ends it: the alarm that it waits for a person stands as long as it has paused by itself. */
export const notePause = (ctx: Ctx, rolloutId: string): Statement[] => [
  ...raiseConditions(ctx, {
    sql: `SELECT '${fleetSite}' AS site_id, '${alarmIds.rolloutPaused}' AS alarm_id, 'rollout=' || r.id AS entity, 'major' AS severity,
            r.name || ': ' || (SELECT value->>'detail' ${byItself} ORDER BY key LIMIT 1) AS text FROM rollout r WHERE r.id = ? AND ${waits}`,
    args: [rolloutId],
  }),
  ...clearConditions(ctx, { sql: `SELECT '${fleetSite}' AS site_id, '${alarmIds.rolloutPaused}' AS alarm_id, 'rollout=' || r.id AS entity FROM rollout r WHERE r.id = ? AND NOT ${waits}`, args: [rolloutId] }),
]
