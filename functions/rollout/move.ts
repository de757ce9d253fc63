import type { InValue } from '@libsql/client'
import type { Statement } from '../../db/client.ts'
import { deploymentEvents, deploymentStates, deploymentTable, type DeploymentEvent, type DeploymentState } from '../../protocol/states.ts'

const from = (event: DeploymentEvent) => deploymentStates.filter((state) => deploymentTable[state][event] !== null)

/** States as an SQL list. */
export const listOf = (states: readonly DeploymentState[]): string => states.map((state) => `'${state}'`).join(', ')

/** The states from which an event moves a deployment, as an SQL list. */
export const movableBy = (event: DeploymentEvent): string => listOf(from(event))

/**
 * A check of a deployment's state that finds no rows by itself: the plus keeps the database from reading all deployments in these
 * states once for each row given, instead of one deployment by its key.
 */
export const isIn = (states: string): string => `+deployment.state IN (${states})`

/**
 * The deployment table as SQL: the next state for `event` (an SQL expression) in the row's own state, or null where the
 * table has no move. Written from the same table that SPEC.md shows, so there is one state machine and not two.
 * `among` names the events it can be: fewer make the expression cheaper.
 */
export function nextState(event: string, among: readonly DeploymentEvent[] = deploymentEvents): string {
  const arms = among.flatMap((e) => from(e).map((state) => `WHEN '${state}/${e}' THEN '${deploymentTable[state][e]}'`))
  return `CASE deployment.state || '/' || ${event} ${arms.join(' ')} END`
}

/**
 * Picks the deployments that `move`, rows of [rollout, site, …] as JSON, names: each by its key. A rollout given as one argument would
 * have the database go through all of that rollout's deployments, and through all rows for each.
 */
export const named = 'deployment.rollout_id = move.value->>0 AND deployment.site_id = move.value->>1'

/** What else to set on the rows that move: column → SQL expression with its arguments. `move.value` is the row given. */
export type Sets = Record<string, { sql: string; args?: InValue[] }>

/** Moves some deployments of one rollout by one event; rows that are not in a fitting state any more stay as they are. */
export function moveDeployments(rolloutId: string, event: DeploymentEvent, rows: readonly { siteId: string; why: string }[], nowMs: number, sets: Sets = {}): Statement {
  const extra = Object.entries(sets)
  return {
    sql: `UPDATE deployment SET state = ${nextState(`'${event}'`, [event])}, why = move.value->>2, updated_ms = ?${extra.map(([column, set]) => `, ${column} = ${set.sql}`).join('')}
          FROM json_each(?) AS move
          WHERE ${named} AND ${isIn(movableBy(event))}`,
    args: [nowMs, ...extra.flatMap(([, set]) => set.args ?? []), JSON.stringify(rows.map((row) => [rolloutId, row.siteId, row.why]))],
  }
}
