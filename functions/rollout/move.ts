import type { InValue } from '@libsql/client'
import type { Statement } from '../../db/client.ts'
import { deploymentEvents, deploymentStates, deploymentTable, type DeploymentEvent } from '../../protocol/states.ts'

const from = (event: DeploymentEvent) => deploymentStates.filter((state) => deploymentTable[state][event] !== null)

/** The states from which an event moves a deployment, as an SQL list. */
export const movableBy = (event: DeploymentEvent): string => from(event).map((state) => `'${state}'`).join(', ')

/**
 * The deployment table as SQL: the next state for `event` (an SQL expression) in the row's own state, or null where the
 * table has no move. Written from the same table that SPEC.md shows, so there is one state machine and not two.
 * `among` names the events it can be: fewer make the expression cheaper.
 */
export function nextState(event: string, among: readonly DeploymentEvent[] = deploymentEvents): string {
  const arms = among.flatMap((e) => from(e).map((state) => `WHEN '${state}/${e}' THEN '${deploymentTable[state][e]}'`))
  return `CASE deployment.state || '/' || ${event} ${arms.join(' ')} END`
}

/** What else to set on the rows that move: column → SQL expression with its arguments. `move.value` is the row given. */
export type Sets = Record<string, { sql: string; args?: InValue[] }>

/** Moves some deployments of one rollout by one event; rows that are not in a fitting state any more stay as they are. */
export function moveDeployments(rolloutId: string, event: DeploymentEvent, rows: readonly { siteId: string; why: string }[], nowMs: number, sets: Sets = {}): Statement {
  const extra = Object.entries(sets)
  return {
    sql: `UPDATE deployment SET state = ${nextState(`'${event}'`)}, why = move.value->>1, updated_ms = ?${extra.map(([column, set]) => `, ${column} = ${set.sql}`).join('')}
          FROM json_each(?) AS move
          WHERE deployment.rollout_id = ? AND deployment.site_id = move.value->>0 AND deployment.state IN (${movableBy(event)})`,
    args: [nowMs, ...extra.flatMap(([, set]) => set.args ?? []), JSON.stringify(rows.map((row) => [row.siteId, row.why])), rolloutId],
  }
}
