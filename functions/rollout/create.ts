import type { Guard, Statement } from '../../db/client.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { RolloutRequest } from '../../protocol/policy.ts'
import { rolloutTable } from '../../protocol/states.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { issueAhead } from '../directive/issue.ts'
import { advanceRollout } from './advance.ts'
import { movableBy, nextState } from './move.ts'
import { prepareRollout, type Prepared } from './prepare.ts'
import { viewRollout } from './view.ts'

/**
 * Creates a rollout: its waves and members are decided now, stored, and do not change but for joiners. Where sites need newer agents for it,
 * the rollouts that bring these are created with it and go first. Where the policy says so, bytes may travel from now on, however far
 * ahead the start is. Then it starts, if it may.
 */
export async function createRollout(ctx: Ctx, request: RolloutRequest): Promise<RolloutView> {
  const prepared = await prepareRollout(ctx, request)
  const all = [...prepared.agentsFirst, prepared]
  const ids = all.map(() => `ro_${ctx.ids.sortable(ctx.nowMs)}`).sort()
  const id = ids[ids.length - 1]!
  await ctx.db.write([...supersede(ctx, id, prepared), ...all.flatMap((each, i) => [...rows(ctx, ids[i]!, ids[i - 1] ?? null, each), ...ahead(ctx, ids[i]!, each)])], [targetsKept(all)])
  for (const each of ids) await begin(ctx, each)
  return viewRollout(ctx, id)
}

/** The rollout is there: whatever goes wrong now is for the schedule to go on with. An error would have it asked for again, and made twice. */
async function begin(ctx: Ctx, id: string): Promise<void> {
  await advanceRollout(ctx, id).catch((error: unknown) => ctx.log.write('warn', 'rollout.advance-failed', { rollout: id, error: String(error), requestId: ctx.requestId }))
}

/** A site that gets its agent first is not told of the release that needs it: the rows of the rollout that brings it are there by then. */
const ahead = (ctx: Ctx, id: string, { request }: Prepared): Statement[] => (request.policy.staging === 'ahead' ? issueAhead(ctx, id, 'previousOf' in request.target) : [])

/** Nobody has given up the objects of a release that these sites are to get, in the moment since it was looked at. */
const targetsKept = (all: readonly Prepared[]): Guard => ({
  sql: 'SELECT count(*) FROM release WHERE collected_ms IS NOT NULL AND digest IN (SELECT value FROM json_each(?))',
  args: [JSON.stringify([...new Set(all.flatMap(({ placements, selected }) => placements.map(({ siteId }) => selected.get(siteId)!.to?.digest ?? '')))])], is: 0,
})

function rows(ctx: Ctx, id: string, after: string | null, prepared: Prepared): Statement[] {
  const { request, waves, placements, skipped, selected } = prepared
  const { policy } = request
  const deployments = [
    ...placements.map((p) => ({ ...p, state: 'pending', why: 'waits for its turn' })),
    ...skipped.map((s, i) => ({ siteId: s.siteId, wave: -1, place: placements.length + i, grp: '', state: 'skipped', why: s.why })),
  ].map((d) => {
    const { to, returnsFrom } = selected.get(d.siteId)!
    return [d.siteId, d.wave, d.place, d.grp, d.state, d.why, to === null ? null : JSON.stringify(to), returnsFrom === null ? null : JSON.stringify(returnsFrom)]
  })
  const startAtMs = policy.startAt === null ? null : Date.parse(policy.startAt)
  return [
    {
      sql: `INSERT INTO rollout (id, name, target, release, selector, policy, state, pauses, abort_mode, members, priority, start_at_ms, started_ms, ended_ms, parked_until_ms, wake_ms, created_by, created_ms, request_id, after_rollout, version)
            VALUES (?, ?, ?, ?, ?, ?, 'scheduled', '[]', NULL, ?, ?, ?, NULL, NULL, NULL, ?, ?, ?, ?, ?, 1)`,
      args: [
        id, request.name, JSON.stringify(request.target), prepared.release === null ? null : JSON.stringify(prepared.release), JSON.stringify(request.selector), JSON.stringify(policy),
        placements.length, policy.priority, startAtMs, ctx.nowMs, ctx.actor.name, ctx.nowMs, ctx.requestId, after,
      ],
    },
    {
      sql: `INSERT INTO wave (rollout_id, ordinal, policy, state, failures_acknowledged, executed_acknowledged) SELECT ?, key, value, 'waiting', 0, 0 FROM json_each(?)`,
      args: [id, JSON.stringify(waves)],
    },
    {
      sql: `INSERT INTO deployment (rollout_id, site_id, wave, place, grp, state, attempt, failures, seq, seq_incarnation, why, not_before_ms, abort_acknowledged, updated_ms, to_release, from_release)
            SELECT ?, value->>0, value->>1, value->>2, value->>3, value->>4, 0, 0, 0, 0, value->>5, 0, 0, ?, value->>6, value->>7 FROM json_each(?)`,
      args: [id, ctx.nowMs, JSON.stringify(deployments)],
    },
    recordEvents(ctx, [{ action: 'rollout.create', entity: `rollout/${id}`, why: request.name, detail: { target: request.target, members: placements.length, skipped: skipped.length, waves: waves.map((w) => w.name), ...(after === null ? {} : { after }) } }]),
  ]
}

/**
 * Before this one's own rows are there: unstarted deployments of the rollouts that it replaces, at the sites that both select, are superseded; a completed one
 * that stood for newcomers stands no longer.
 */
function supersede(ctx: Ctx, id: string, prepared: Prepared): Statement[] {
  const { replaces } = prepared.request
  if (replaces !== 'all' && replaces.length === 0) return []
  const sites = JSON.stringify(prepared.placements.map((p) => p.siteId))
  const which = replaces === 'all' ? 'true' : 'rollout_id IN (SELECT value FROM json_each(?))'
  const whichArgs = replaces === 'all' ? [] : [JSON.stringify(replaces)]
  const affected = `state IN (${movableBy('supersede')}) AND site_id IN (SELECT value FROM json_each(?)) AND ${which}`
  const why = `superseded by rollout ${id}`
  const standing = `state = 'completed' AND policy->>'joiners' = 'include' AND ${which.replaceAll('rollout_id', 'id')}`
  return [
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT ?, ?, 'rollout.supersede', 'rollout/' || id, NULL, ?, '{}', ? FROM rollout WHERE ${standing}`,
      args: [ctx.nowMs, ctx.actor.name, why, ctx.requestId, ...whichArgs],
    },
    { sql: `UPDATE rollout SET state = '${rolloutTable.completed.supersede}', version = version + 1, wake_ms = NULL WHERE ${standing}`, args: whichArgs },
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
            SELECT ?, ?, 'deployment.supersede', 'rollout/' || rollout_id, site_id, ?, '{}', ? FROM deployment WHERE ${affected}`,
      args: [ctx.nowMs, ctx.actor.name, why, ctx.requestId, sites, ...whichArgs],
    },
    { sql: `UPDATE rollout SET version = version + 1, wake_ms = ? WHERE id IN (SELECT DISTINCT rollout_id FROM deployment WHERE ${affected})`, args: [ctx.nowMs, sites, ...whichArgs] },
    { sql: `UPDATE deployment SET state = ${nextState(`'supersede'`)}, why = ?, ended_ms = ?, updated_ms = ? WHERE ${affected}`, args: [why, ctx.nowMs, ctx.nowMs, sites, ...whichArgs] },
  ]
}
