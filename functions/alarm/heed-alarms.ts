import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'

/** Whether alarm `of` stands in the way of rollouts: it gates, and nobody has acknowledged it, put it aside or expects it just now. */
export const inTheWay = (of: string): string => `${of}.gating = 1 AND ${of}.cleared_ms IS NULL AND ${of}.acknowledged_ms IS NULL AND ${of}.shelved_until_ms IS NULL AND ${of}.silenced = 0`

/**
 * To be put behind everything that may raise alarms at `sites` (a select of their ids): rollouts that have touched a site where an alarm now stands in the way, and may still
 * start others, are due, and whoever decides about one of them on older news loses its guard (SPEC I18). Returns their ids. Reads the gating alarms of these sites; where
 * one is new, the deployments of its site and their rollouts, and writes a row for each rollout. One that is paused over an alarm already is left alone.
 */
export const heedAlarms = (ctx: Pick<Ctx, 'nowMs'>, sites: Statement): Statement => ({
  sql: `UPDATE rollout SET version = version + 1, wake_ms = ?
        WHERE (+state = 'running' OR (+state = 'completed' AND EXISTS (SELECT 1 FROM counter c WHERE c.rollout_id = rollout.id AND c.state IN ('pending', 'parked') AND c.n > 0)))
          AND NOT EXISTS (SELECT 1 FROM json_each(rollout.pauses) WHERE value->>'reason' = 'alarm')
          AND id IN (SELECT d.rollout_id FROM alarm a INDEXED BY alarm_gating CROSS JOIN deployment d ON d.site_id = a.site_id AND d.attempt > 0
            WHERE a.site_id IN (${sites.sql}) AND a.changed_ms = ? AND ${inTheWay('a')})
        RETURNING id`,
  args: [ctx.nowMs, ...sites.args, ctx.nowMs],
})

/** Behind what a person does to a gating alarm: a wave that it keeps shut may open now. Reads the deployments of its site, and writes a row for each rollout that runs and has touched it. */
export const wakeHeld = ({ nowMs }: Pick<Ctx, 'nowMs'>, siteId: string): Statement => ({
  sql: `UPDATE rollout SET wake_ms = ? WHERE +state = 'running' AND coalesce(wake_ms, ?) >= ? AND id IN (SELECT d.rollout_id FROM deployment d WHERE d.site_id = ? AND d.attempt > 0)`,
  args: [nowMs, nowMs, nowMs, siteId],
})
