import { sql } from 'drizzle-orm'
import { at } from '../../protocol/http/contract.ts'
import type { RolloutPlan } from '../../protocol/http/rollouts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { irreversibleComponents } from '../../protocol/manifest.ts'
import { amountDown, isBarrier, type RolloutRequest } from '../../protocol/policy.ts'
import type { Ctx } from '../context.ts'
import { gatherRivals } from './gather.ts'
import { siteHindrances } from './judge.ts'
import { prepareRollout, type Prepared } from './prepare.ts'
import { emptyTally, type RolloutSnapshot } from './snapshot.ts'
import { asBlocker } from './view.ts'

/** What a rollout would do: the same preparation and the same judgement as in earnest, and no write. */
export async function planRollout(ctx: Ctx, request: RolloutRequest): Promise<RolloutPlan> {
  const prepared = await prepareRollout(ctx, request)
  const { placements, waves, agentsFirst } = prepared
  const inWave = (ordinal: number) => placements.filter((p) => p.wave === ordinal)
  const maxParallel = amountDown(request.policy.maxParallel, placements.length)
  const groups = new Map<string, number>()
  for (const { grp } of placements) groups.set(grp, (groups.get(grp) ?? 0) + 1)
  const irreversible = [...agentsFirst, prepared].flatMap(cannotBeUndone)
  const sizes = [...agentsFirst, prepared].flatMap(sizesOf)
  const blocked = await blockers(ctx, prepared)
  return {
    name: request.name,
    target: prepared.release?.id ?? `what each site ran before rollout ${'previousOf' in request.target ? request.target.previousOf : ''}`,
    members: placements.length,
    waves: waves.map((w, i) => ({ name: w.name, sites: inWave(i).map((p) => p.siteId as SiteId), barrier: isBarrier(w), successThreshold: w.successThreshold, soakMs: w.soak, approval: w.approval })),
    maxParallel,
    groups: request.policy.groupBy === null ? [] : [...groups].map(([group, members]) => ({ group, members, maxParallel: amountDown(request.policy.groupBy!.maxParallel, members) })),
    skipped: prepared.skipped.map((s) => ({ site: s.siteId as SiteId, why: s.why })),
    blocked,
    cannotBeUndone: irreversible,
    agentsFirst: agentsFirst.map((first) => ({ name: first.request.name, release: first.release!.id, sites: first.placements.map((p) => p.siteId as SiteId).sort() })),
    bytes: { perSiteMax: sizes.reduce((most, size) => Math.max(most, size), 0), total: sizes.reduce((sum, size) => sum + size, 0) },
    expected: await expectedEnd(ctx, prepared),
    warnings: warningsOf(prepared, blocked.length, irreversible.length),
  }
}

function cannotBeUndone({ targets, placements, selected }: Prepared): RolloutPlan['cannotBeUndone'] {
  return [...targets.values()].flatMap((target) => {
    const components = irreversibleComponents(target.manifest)
    const sites = placements.filter((p) => selected.get(p.siteId)!.to?.digest === target.ref.digest).length
    return components.length === 0 || sites === 0 ? [] : [{ release: target.ref.id, components, sites }]
  })
}

/** Bytes of what each member is to run, none of it subtracted that it may have. */
const sizesOf = ({ targets, placements, selected }: Prepared): number[] =>
  placements.map((p) => targets.get(selected.get(p.siteId)!.to?.digest ?? '')?.manifest.components.reduce((sum, c) => sum + c.tree.size, 0) ?? 0)

/** What would keep each member from starting now, if its wave were open. */
async function blockers(ctx: Ctx, prepared: Prepared): Promise<RolloutPlan['blocked']> {
  const { placements, selected, request } = prepared
  const draft: RolloutSnapshot = {
    id: 'ro_~', version: 0, name: request.name, state: 'running', policy: request.policy, pauses: [], abortMode: null, back: 'previousOf' in request.target, priority: request.policy.priority, createdMs: ctx.nowMs,
    startAtMs: null, startedMs: null, parkedUntilMs: null, wakeMs: null, after: null, waves: [], outside: emptyTally(), inFlightByGroup: new Map(), membersByGroup: new Map(), targets: prepared.targets, candidates: [], overdue: [],
    nextDeadlineMs: null, nextNotBeforeMs: null,
  }
  const rivals = await gatherRivals(ctx, draft.id, placements.map((p) => p.siteId))
  const updates = new Map(prepared.agentsFirst.flatMap((first) => first.placements.map((p) => [p.siteId, { rolloutId: 'created with this one', name: first.request.name, release: first.release!.id }])))
  return placements.flatMap((p) => {
    const { site, to, returnsFrom } = selected.get(p.siteId)!
    const found = siteHindrances(draft, { ...p, state: 'pending', attempt: 0, notBeforeMs: 0, to, returnsFrom, site, rivals: rivals.get(p.siteId) ?? [], agentUpdate: updates.get(p.siteId) ?? null }, ctx.nowMs)
    return found.length === 0 ? [] : [{ site: p.siteId as SiteId, blockers: found.map(asBlocker) }]
  })
}

async function expectedEnd(ctx: Ctx, prepared: Prepared): Promise<RolloutPlan['expected']> {
  const [past] = await ctx.db.orm.all<{ n: number; mean: number | null }>(sql`
    SELECT count(*) AS n, avg(ended_ms - granted_ms) AS mean FROM (SELECT ended_ms, granted_ms FROM deployment WHERE state = 'succeeded' AND granted_ms IS NOT NULL ORDER BY updated_ms DESC LIMIT 500)`)
  const measured = past !== undefined && past.n >= 5 && past.mean !== null
  const perSiteMs = measured ? Math.round(past.mean!) : prepared.request.policy.maxDuration
  const startMs = Math.max(ctx.nowMs, prepared.request.policy.startAt === null ? 0 : Date.parse(prepared.request.policy.startAt))
  const spanMs = [...prepared.agentsFirst, prepared].reduce((sum, each) => sum + spanOf(each, perSiteMs), 0)
  const basis = measured ? `the mean of the last ${past.n} successful deployments` : "the policy's maxDuration, because fewer than five deployments have been measured"
  return { perSiteMs, basis: `${basis}; windows, approvals and parked sites not counted`, endsAt: at(startMs + spanMs) }
}

/** Places are refilled as they get free, so a run of waves without a barrier takes its sites' time shared by the places. */
function spanOf({ waves, placements, request }: Prepared, perSiteMs: number): number {
  const maxParallel = amountDown(request.policy.maxParallel, placements.length)
  let spanMs = 0
  let run = 0
  waves.forEach((w, i) => {
    run += placements.filter((p) => p.wave === i).length
    if (!isBarrier(w) && i < waves.length - 1) return
    spanMs += Math.ceil(run / maxParallel) * perSiteMs + w.soak
    run = 0
  })
  return spanMs
}

function warningsOf(prepared: Prepared, blocked: number, irreversible: number): string[] {
  const { placements, skipped, request } = prepared
  const warnings: string[] = []
  if (placements.length === 0) warnings.push('every selected site would be skipped: the rollout would end at once')
  const outdated = prepared.agentsFirst.reduce((sum, first) => sum + first.placements.length, 0)
  if (outdated > 0) warnings.push(`${outdated} sites need a newer agent and get it first, by a rollout of its own; this one begins when that has ended`)
  if (skipped.length > 0) warnings.push(`${skipped.length} selected sites would be skipped`)
  if (blocked > 0) warnings.push(`${blocked} of ${placements.length} sites could not start now`)
  if (irreversible > 0) warnings.push('some of it cannot be undone: an abort with revert will be refused')
  if (request.selector.all === true && placements.length > 1 && prepared.waves.length === 1) warnings.push('every site is selected, and there is no canary: all of them are in one wave')
  return warnings
}
