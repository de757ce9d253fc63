import { desc, eq, sql } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { rollout, type RolloutRow } from '../../db/schema/rollout.ts'
import { selects, type Labels } from '../../protocol/labels.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { advanceRollout } from './advance.ts'
import { groupOf } from './assign-waves.ts'
import { gatherTargets, siteFactsColumns } from './gather.ts'
import { fitness } from './judge.ts'
import { movableBy, nextState } from './move.ts'
import { settleOutcomes } from './note-outcomes.ts'
import type { SiteFacts } from './snapshot.ts'

/**
 * A site has enrolled, or its labels have changed. One that was replaced gets again what it was meant to run; a newcomer enters the
 * last open wave of the newest standing rollout that selects it and that it can take. Reads at most `standingPerSiteMax` rollouts.
 */
export async function siteJoined(ctx: Ctx, siteId: string): Promise<void> {
  const [facts] = await ctx.db.orm.select({ ...siteFactsColumns, labels: site.labels, desiredDeployment: site.desiredDeployment }).from(site).where(eq(site.id, siteId))
  if (facts === undefined || facts.state !== 'enrolled') return
  if (facts.running === null && facts.desiredDeployment !== null && (await restore(ctx, siteId, facts.desiredDeployment))) return
  const standing = await ctx.db.orm
    .select({ rollout, joined: sql<number>`EXISTS (SELECT 1 FROM deployment WHERE rollout_id = ${rollout.id} AND site_id = ${siteId})` })
    .from(rollout)
    .where(sql`${rollout.state} IN ('running', 'completed') AND ${rollout.policy}->>'joiners' = 'include' AND ${rollout.release} IS NOT NULL`)
    .orderBy(desc(rollout.createdMs), desc(rollout.id))
    .limit(limits.standingPerSiteMax)
  for (const { rollout: row, joined } of standing) {
    if (joined === 1) return
    if (!(await fits(ctx, row, facts))) continue
    await enter(ctx, row, siteId, facts.labels)
    return
  }
}

/** What the site ran is gone with the machine: its last deployment starts anew, in the rollout that brought it. */
async function restore(ctx: Ctx, siteId: string, deploymentIdText: string): Promise<boolean> {
  const rolloutId = deploymentIdText.slice(0, deploymentIdText.indexOf(':'))
  const live = `EXISTS (SELECT 1 FROM rollout WHERE id = ? AND state IN ('running', 'completed'))`
  const [moved] = await ctx.db.write([
    {
      sql: `UPDATE deployment SET state = ${nextState(`'replaced'`)}, why = 'the site was enrolled anew', not_before_ms = 0, deadline_ms = NULL, ended_ms = NULL, updated_ms = ?
            WHERE rollout_id = ? AND site_id = ? AND state IN (${movableBy('replaced')}) AND ${live}`,
      args: [ctx.nowMs, rolloutId, siteId, rolloutId],
    },
    { sql: 'UPDATE rollout SET version = version + 1, wake_ms = ? WHERE id = ?', args: [ctx.nowMs, rolloutId] },
    ...settleOutcomes(ctx, { sql: 'SELECT ?', args: [siteId] }),
    recordEvents(ctx, [{ action: 'deployment.restore', entity: `rollout/${rolloutId}`, siteId, why: 'the site was enrolled anew' }]),
  ])
  if ((moved?.rowsAffected ?? 0) === 0) return false
  await advanceRollout(ctx, rolloutId)
  return true
}

async function fits(ctx: Ctx, row: RolloutRow, facts: SiteFacts & { labels: Labels }): Promise<boolean> {
  if (row.release === null || !selects(row.selector, facts)) return false
  const targets = await gatherTargets(ctx, [row.release.digest])
  return fitness(facts, row.release, targets.get(row.release.digest), null) === null
}

async function enter(ctx: Ctx, row: RolloutRow, siteId: string, labels: Labels): Promise<void> {
  await ctx.db.write([
    {
      sql: `INSERT INTO deployment (rollout_id, site_id, wave, place, grp, state, attempt, failures, seq, seq_incarnation, why, not_before_ms, abort_acknowledged, updated_ms, to_release)
            SELECT r.id, ?, coalesce((SELECT max(ordinal) FROM wave WHERE rollout_id = r.id AND state <> 'waiting'), 0),
              coalesce((SELECT max(place) FROM deployment WHERE rollout_id = r.id), 0) + 1, ?, 'pending', 0, 0, 0, 0, 'joined', 0, 0, ?, r.release
            FROM rollout r WHERE r.id = ? ON CONFLICT DO NOTHING`,
      args: [siteId, groupOf(labels, row.policy), ctx.nowMs, row.id],
    },
    { sql: 'UPDATE rollout SET members = members + 1, version = version + 1, wake_ms = ? WHERE id = ?', args: [ctx.nowMs, row.id] },
    recordEvents(ctx, [{ action: 'deployment.join', entity: `rollout/${row.id}`, siteId, why: 'a joiner enters the last open wave' }]),
  ])
  await advanceRollout(ctx, row.id)
}
