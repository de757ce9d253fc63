import { asc, eq, inArray, notInArray, sql, type SQL } from 'drizzle-orm'
import { release } from '../../db/schema/release.ts'
import { counter, deployment, rollout, wave, type CounterRow, type RolloutRow, type WaveRow } from '../../db/schema/rollout.ts'
import { site } from '../../db/schema/fleet.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { DeploymentState, Severity } from '../../protocol/states.ts'
import { inFlightStates } from '../../protocol/states.ts'
import { inTheWay } from '../alarm/heed-alarms.ts'
import type { Ctx } from '../context.ts'
import { gatherAgentUpdates } from './gather-agent-updates.ts'
import { groupPlacesOf, placesOf } from './judge.ts'
import { emptyTally, placesTaken, type AgentUpdate, type Candidate, type Rival, type RolloutSnapshot, type SiteFacts, type Tally, type TargetFacts, type WaveFacts } from './snapshot.ts'

/**
 * Candidates looked at beyond the free places, for some will be parked, skipped or deferred: few at first, and twice as many in each further
 * pass of an invocation.
 */
const slackAt = (pass: number): number => 10 * 2 ** pass

export const siteFactsColumns = {
  id: site.id, state: site.state, presence: site.presence, running: site.running, architecture: site.architecture, protocolMin: site.protocolMin, protocolMax: site.protocolMax,
  timeZone: site.timeZone, windows: site.windows, freezes: site.freezes, locks: site.locks,
}

/**
 * Reads all that a decision about one rollout needs, in three round trips at most. Rows read: waves and counters of the rollout,
 * at most `stepsPerTickMax` overdue deployments, as many candidates as there are places, plus slack, and those that are parked. States
 * are written out where an index covers some of them only. `pass` counts the passes of one invocation from 0.
 */
export async function gatherRollout(ctx: Ctx, rolloutId: string, pass = 0): Promise<RolloutSnapshot> {
  const { orm } = ctx.db
  const [rollouts, waves, counters, overdue, timers, alarms, targets, after] = await orm.batch([
    orm.select().from(rollout).where(eq(rollout.id, rolloutId)),
    orm.select().from(wave).where(eq(wave.rolloutId, rolloutId)).orderBy(asc(wave.ordinal)),
    orm.select().from(counter).where(eq(counter.rolloutId, rolloutId)),
    orm.select({ siteId: deployment.siteId, attempt: deployment.attempt }).from(deployment).where(sql`rollout_id = ${rolloutId} AND state IN ('granted', 'running') AND deadline_ms <= ${ctx.nowMs}`).limit(limits.stepsPerTickMax),
    orm
      .select({
        deadlineMs: sql<number | null>`(SELECT min(deadline_ms) FROM deployment WHERE rollout_id = ${rolloutId} AND state IN ('granted', 'running'))`,
        notBeforeMs: sql<number | null>`(SELECT min(not_before_ms) FROM deployment WHERE rollout_id = ${rolloutId} AND state = 'pending' AND not_before_ms > ${ctx.nowMs})`,
      })
      .from(rollout)
      .where(eq(rollout.id, rolloutId)),
    gatingAlarms(ctx, [rolloutId]),
    orm.select({ id: release.id, digest: release.digest, manifest: release.manifest, state: release.state }).from(release).where(sql`${release.digest} = (SELECT release->>'digest' FROM rollout WHERE id = ${rolloutId})`),
    orm.select({ rolloutId: rollout.id, name: rollout.name, state: rollout.state }).from(rollout).where(sql`${rollout.id} = (SELECT after_rollout FROM rollout WHERE id = ${rolloutId})`),
  ])
  const row = rollouts[0]
  if (row === undefined) throw new FleetError('not-found', `there is no rollout ${rolloutId}`)
  const snapshot = assemble(row, waves, counters, alarms)
  snapshot.overdue = overdue
  snapshot.after = after[0] ?? null
  snapshot.nextDeadlineMs = timers[0]?.deadlineMs ?? null
  snapshot.nextNotBeforeMs = timers[0]?.notBeforeMs ?? null
  snapshot.targets = new Map(targets.map((t) => [t.digest, { ref: { id: t.id, digest: t.digest } as ReleaseRef, manifest: t.manifest, available: t.state === 'available' }]))
  snapshot.candidates = await gatherCandidates(ctx, row, snapshot, pass)
  if (snapshot.back) snapshot.targets = await gatherTargets(ctx, snapshot.candidates.flatMap((c) => (c.to === null ? [] : [c.to.digest])))
  return snapshot
}

const touched = `${inTheWay('a')} AND d.site_id = a.site_id AND d.attempt > 0`
/** When alarm `a` was raised as one that gates: what was there before as a lesser one has become worse then. */
const gatingFromMs = 'max(a.raised_ms, a.gating_ms)'
/** Of alarm `a` and deployment `d`: the alarm stands in the way, and has done so only since its site was granted. */
export const gatingSince = `${touched} AND ${gatingFromMs} >= d.granted_ms`

/** What stands in the way on the sites that a wave has touched: how many alarms, how many of them since the site was granted, and the first of those. */
export type GatingAlarms = { rolloutId: string; wave: number; n: number; since: number; siteId: string; alarmId: string; entity: string; severity: Severity; text: string }

/**
 * Alarms in the way of rollouts, by wave. Reads the few alarms that gate, not the many deployments: as many as stand in the fleet, and a deployment for each and rollout.
 * Beside `min`, SQLite gives the columns of the row that has it.
 */
export const gatingAlarms = (ctx: Ctx, rolloutIds: readonly string[]) =>
  ctx.db.orm.all<GatingAlarms>(sql`
    SELECT d.rollout_id AS rolloutId, d.wave, count(*) AS n, count(CASE WHEN ${sql.raw(gatingFromMs)} >= d.granted_ms THEN 1 END) AS since, a.site_id AS siteId, a.alarm_id AS alarmId, a.entity, a.severity, a.text,
      min(CASE WHEN ${sql.raw(gatingFromMs)} >= d.granted_ms THEN ${sql.raw(gatingFromMs)} END) AS firstMs
    FROM alarm a CROSS JOIN deployment d WHERE ${sql.raw(touched)} AND d.rollout_id IN ${[...rolloutIds]} GROUP BY d.rollout_id, d.wave`)

type Draft = { -readonly [K in keyof RolloutSnapshot]: RolloutSnapshot[K] }

/** A rollout's rows as a snapshot without candidates: enough for its gates and its view. */
export function assemble(row: RolloutRow, waves: readonly WaveRow[], counters: readonly CounterRow[], alarms: readonly GatingAlarms[]): Draft {
  const tallies = new Map<number, Tally>()
  const inFlightByGroup = new Map<string, number>()
  const membersByGroup = new Map<string, number>()
  const gating = new Map(alarms.map((each) => [each.wave, each]))
  const add = (map: Map<string, number>, key: string, n: number) => map.set(key, (map.get(key) ?? 0) + n)
  for (const { wave: ordinal, grp, state, n } of counters) {
    const tally = tallies.get(ordinal) ?? emptyTally()
    tally[state] += n
    tallies.set(ordinal, tally)
    if (ordinal < 0) continue
    add(membersByGroup, grp, n)
    if (inFlightStates.includes(state)) add(inFlightByGroup, grp, n)
  }
  return {
    id: row.id, version: row.version, name: row.name, state: row.state, policy: row.policy, pauses: row.pauses, abortMode: row.abortMode,
    back: 'previousOf' in row.target, priority: row.priority, createdMs: row.createdMs, startAtMs: row.startAtMs, startedMs: row.startedMs,
    parkedUntilMs: row.parkedUntilMs, wakeMs: row.wakeMs, after: null,
    waves: waves.map((w): WaveFacts => ({
      ordinal: w.ordinal, policy: w.policy, state: w.state, tally: tallies.get(w.ordinal) ?? emptyTally(), lastSuccessMs: w.lastSuccessMs, approvedBy: w.approvedBy,
      gatingAlarms: gating.get(w.ordinal)?.n ?? 0, alarmsSince: sinceIn(gating.get(w.ordinal)), failuresAcknowledged: w.failuresAcknowledged, executedAcknowledged: w.executedAcknowledged,
    })),
    outside: tallies.get(-1) ?? emptyTally(), inFlightByGroup, membersByGroup,
    targets: new Map(), candidates: [], overdue: [], nextDeadlineMs: null, nextNotBeforeMs: null,
  }
}

const sinceIn = (found: GatingAlarms | undefined): WaveFacts['alarmsSince'] => {
  if (found === undefined || found.since === 0) return null
  const { since, siteId, alarmId, entity, severity, text } = found
  return { count: since, first: { siteId, alarmId, entity, severity, text } }
}

/** Only rows that could be granted, parked or skipped now: none while nothing may start or no place is free. */
async function gatherCandidates(ctx: Ctx, row: RolloutRow, snapshot: RolloutSnapshot, pass: number): Promise<Candidate[]> {
  if ((snapshot.state !== 'running' && snapshot.state !== 'completed') || snapshot.pauses.length > 0) return []
  const open = snapshot.waves.filter((w) => w.state !== 'waiting')
  const places = placesOf(snapshot) - placesTaken(snapshot)
  if (places <= 0 || open.length === 0) return []
  const saturated = [...snapshot.inFlightByGroup].filter(([grp, n]) => n >= groupPlacesOf(snapshot, grp)).map(([grp]) => grp)
  const most = Math.min(places + slackAt(pass), limits.stepsPerTickMax)
  const startable = sql.join([sql`rollout_id = ${row.id} AND ${inArray(sql`wave`, open.map((w) => w.ordinal))} AND not_before_ms <= ${ctx.nowMs}`, ...(saturated.length === 0 ? [] : [notInArray(sql`grp`, saturated)])], sql` AND `)
  const [pending, returned] = await ctx.db.orm.batch([
    // left to itself the database reads all that are pending and sorts them
    candidateRows(ctx, sql`deployment.rollout_id = ${row.id} AND deployment.site_id IN (SELECT site_id FROM deployment INDEXED BY deployment_pending WHERE ${startable} AND state = 'pending' ORDER BY wave, place LIMIT ${most})`, most),
    candidateRows(ctx, sql`${startable} AND deployment.state = 'parked' AND presence = 'online'`, most),
  ])
  const rows = [...pending, ...returned].sort((a, b) => a.wave - b.wave || a.place - b.place).slice(0, most)
  const rivals = await gatherRivals(ctx, row.id, rows.map((r) => r.siteId))
  const updates = await gatherAgentUpdates(ctx, row.id, rows.map((r) => ({ site: r.site, target: snapshot.targets.get(r.to?.digest ?? '') })))
  return rows.map((r) => asCandidate(row, r, rivals.get(r.siteId) ?? [], updates.get(r.siteId) ?? null))
}

/** Deployments with their sites, first waves and places first. */
const candidateRows = (ctx: Ctx, which: SQL, most: number) =>
  ctx.db.orm
    .select({ siteId: deployment.siteId, wave: deployment.wave, place: deployment.place, grp: deployment.grp, state: deployment.state, attempt: deployment.attempt, notBeforeMs: deployment.notBeforeMs, from: deployment.from, to: deployment.to, site: siteFactsColumns })
    .from(deployment)
    .innerJoin(site, eq(site.id, deployment.siteId))
    .where(which)
    .orderBy(asc(deployment.wave), asc(deployment.place))
    .limit(most)

/** The row of a deployment and its site as a candidate. In a return, `from` is what the site must still run. */
export function asCandidate(
  row: Pick<RolloutRow, 'target'>,
  d: { siteId: string; wave: number; place: number; grp: string; state: DeploymentState; attempt: number; notBeforeMs: number; from: ReleaseRef | null; to: ReleaseRef | null; site: SiteFacts },
  rivals: readonly Rival[],
  agentUpdate: AgentUpdate | null,
): Candidate {
  const { from, ...rest } = d
  return { ...rest, state: d.state === 'parked' ? 'parked' : 'pending', returnsFrom: 'previousOf' in row.target ? from : null, rivals, agentUpdate }
}

/** Other rollouts' claims on these sites that are in flight, or that could start there too. */
export async function gatherRivals(ctx: Ctx, rolloutId: string, siteIds: readonly string[]): Promise<Map<string, Rival[]>> {
  const found = new Map<string, Rival[]>()
  if (siteIds.length === 0) return found
  const rows = await ctx.db.orm.all<{ site_id: string; id: string; name: string; priority: number; created_ms: number; in_flight: number; protocol_min: number }>(sql`
    SELECT d.site_id, r.id, r.name, r.priority, r.created_ms, d.state <> 'pending' AS in_flight, coalesce(x.manifest->>'protocolMin', 1) AS protocol_min
    FROM deployment d JOIN rollout r ON r.id = d.rollout_id LEFT JOIN release x ON x.digest = d.to_release->>'digest'
    WHERE d.site_id IN (SELECT value FROM json_each(${JSON.stringify(siteIds)})) AND d.rollout_id <> ${rolloutId}
      AND (d.state IN ('granted', 'running', 'needs-hands') OR (d.state = 'pending' AND r.state IN ('running', 'completed')))`)
  for (const r of rows) {
    const list = found.get(r.site_id) ?? []
    list.push({ rolloutId: r.id, name: r.name, priority: r.priority, createdMs: r.created_ms, inFlight: r.in_flight === 1, protocolMin: r.protocol_min })
    found.set(r.site_id, list)
  }
  return found
}

/** Manifests of releases by digest, of those whose objects are kept. */
export async function gatherTargets(ctx: Ctx, digests: readonly string[]): Promise<Map<string, TargetFacts>> {
  const unique = [...new Set(digests)]
  if (unique.length === 0) return new Map()
  const rows = await ctx.db.orm.select({ id: release.id, digest: release.digest, manifest: release.manifest, state: release.state }).from(release).where(sql`${inArray(release.digest, unique)} AND ${release.collectedMs} IS NULL`)
  return new Map(rows.map((t) => [t.digest, { ref: { id: t.id, digest: t.digest } as ReleaseRef, manifest: t.manifest, available: t.state === 'available' }]))
}
