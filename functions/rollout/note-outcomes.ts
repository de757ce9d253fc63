import type { Statement } from '../../db/client.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { failureStates } from '../../protocol/states.ts'
import { announceStatements, clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { listOf } from './move.ts'

const entity = 'rollout='
const mine = `('${alarmIds.deploymentFailed}', '${alarmIds.needsHands}')`
/** The alarm that deployment `d` of rollout `r` is, or null. A site that needs hands does so whatever becomes of the rollout; a failure nobody waits for any more once that is given up. */
const alarmOf = `CASE WHEN d.state = 'needs-hands' THEN '${alarmIds.needsHands}' WHEN d.state IN (${listOf(failureStates)}) AND r.state NOT IN ('aborting', 'aborted') THEN '${alarmIds.deploymentFailed}' END`

/**
 * Behind the moves of deployments to their ends: raises what failed just now (`ended_ms` is this invocation's time), by rows of rollout and site. Reads a
 * deployment, its rollout and its site for each.
 */
export const raiseOutcomes = (ctx: Ctx, deployments: readonly (readonly [rolloutId: string, siteId: string])[]): Statement[] => raiseConditions(ctx, {
  sql: `SELECT d.site_id, ${alarmOf} AS alarm_id, '${entity}' || d.rollout_id AS entity, CASE d.state WHEN 'needs-hands' THEN 'critical' ELSE 'major' END AS severity,
          coalesce(d.to_release->>'id', 'nothing') || ' ' || d.state || ': ' || coalesce(d.fault->>'detail', d.why) AS text
        FROM json_each(?) AS j JOIN deployment d ON d.rollout_id = j.value->>0 AND d.site_id = j.value->>1 JOIN rollout r ON r.id = d.rollout_id JOIN site s ON s.id = d.site_id AND s.state = 'enrolled'
        WHERE d.ended_ms = ? AND ${alarmOf} IS NOT NULL`,
  args: [JSON.stringify(deployments), ctx.nowMs],
})

/**
 * Behind whatever may have brought deployments at `sites` (a select of their ids) to an end, or to another try: what they were said to have failed in is over where they are
 * not in that state any more, or where a later one has succeeded; and what their deployments kept silent and has stayed is announced. Reads the few alarms that stand.
 */
export const settleOutcomes = (ctx: Ctx, sites: Statement): Statement[] => [
  ...clearConditions(ctx, {
    sql: `SELECT a.site_id, a.alarm_id, a.entity FROM alarm a LEFT JOIN deployment d ON d.rollout_id = substr(a.entity, ${entity.length + 1}) AND d.site_id = a.site_id LEFT JOIN rollout r ON r.id = d.rollout_id
          WHERE a.site_id IN (${sites.sql}) AND a.alarm_id IN ${mine} AND a.source = 'controller' AND a.cleared_ms IS NULL
            AND (${alarmOf} IS NOT a.alarm_id OR EXISTS (SELECT 1 FROM deployment x WHERE x.site_id = a.site_id AND x.state = 'succeeded' AND x.ended_ms > d.ended_ms))`,
    args: sites.args,
  }),
  ...announceStatements(ctx, sites),
]
