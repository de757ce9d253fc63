import { and, desc, eq, inArray } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { deployment, rollout, type DeploymentRow, type RolloutRow } from '../../db/schema/rollout.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Explanation } from '../../protocol/http/sites.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import { inFlightStates } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { gatherAgentUpdates } from './gather-agent-updates.ts'
import { asCandidate, gatherRivals, gatherRollout, gatherTargets, siteFactsColumns } from './gather.ts'
import { groupPlacesOf, openingHindrances, placesOf, rolloutHindrances, siteHindrances, type Hindrance } from './judge.ts'
import { placesTaken, type RolloutSnapshot, type SiteFacts } from './snapshot.ts'
import { asBlocker } from './view.ts'

const unfinished = ['pending', 'parked', 'granted', 'running', 'needs-hands', 'unknown'] as const

/** Why is this site not updating? An ordered list of blockers for each rollout that wants it, from the same judgement that decides. */
export async function explainSite(ctx: Ctx, siteId: string): Promise<Explanation> {
  const [sites, open, ended] = await ctx.db.orm.batch([
    ctx.db.orm.select(siteFactsColumns).from(site).where(eq(site.id, siteId)),
    ctx.db.orm.select({ deployment, rollout }).from(deployment).innerJoin(rollout, eq(rollout.id, deployment.rolloutId)).where(and(eq(deployment.siteId, siteId), inArray(deployment.state, [...unfinished]))).orderBy(desc(rollout.priority), rollout.createdMs).limit(20),
    ctx.db.orm.select({ deployment, rollout }).from(deployment).innerJoin(rollout, eq(rollout.id, deployment.rolloutId)).where(eq(deployment.siteId, siteId)).orderBy(desc(deployment.updatedMs), desc(deployment.rolloutId)).limit(1),
  ])
  const facts = sites[0]
  if (facts === undefined) throw new FleetError('not-found', `there is no site ${siteId}`)
  const rollouts = []
  for (const row of open) rollouts.push(await explainDeployment(ctx, facts, row.deployment, row.rollout))
  return { site: siteId as SiteId, summary: summarise(facts, rollouts, ended[0]), running: facts.running, rollouts }
}

async function explainDeployment(ctx: Ctx, facts: SiteFacts, d: DeploymentRow, r: RolloutRow): Promise<Explanation['rollouts'][number]> {
  const snapshot = await gatherRollout(ctx, r.id)
  const found = inFlightStates.includes(d.state) || d.state === 'unknown' ? underWay(d) : await waiting(ctx, snapshot, facts, d, r)
  return {
    rollout: r.id as RolloutId, name: r.name, target: d.to?.id ?? 'nothing', state: d.state, wave: snapshot.waves.find((w) => w.ordinal === d.wave)?.policy.name ?? null,
    blockers: found.map(asBlocker),
  }
}

/** A deployment that has its grant: what it is waiting for is the site. */
function underWay(d: DeploymentRow): Hindrance[] {
  const phase = d.progress === null ? 'has not reported its start' : `is ${d.progress.phase}`
  if (d.state === 'needs-hands') return [{ code: 'in-flight', text: `the rollback failed too: ${d.fault?.detail ?? 'see the site'}`, untilMs: null, by: 'a person at the site, then murmur rollout waive or retry' }]
  if (d.state === 'unknown') return [{ code: 'in-flight', text: 'the site fell silent while it held a grant', untilMs: null, by: "the site's next hello, or murmur rollout retry or waive" }]
  return [{ code: 'in-flight', text: `attempt ${d.attempt} is under way: the site ${phase}`, untilMs: d.deadlineMs, by: 'the site' }]
}

async function waiting(ctx: Ctx, snapshot: RolloutSnapshot, facts: SiteFacts, d: DeploymentRow, r: RolloutRow): Promise<Hindrance[]> {
  const rivals = await gatherRivals(ctx, r.id, [facts.id])
  const targets = snapshot.back && d.to !== null ? await gatherTargets(ctx, [d.to.digest]) : snapshot.targets
  const updates = await gatherAgentUpdates(ctx, r.id, [{ site: facts, target: targets.get(d.to?.digest ?? '') }])
  const candidate = asCandidate(r, { ...d, site: facts }, rivals.get(facts.id) ?? [], updates.get(facts.id) ?? null)
  const found = [...rolloutHindrances(snapshot, ctx.nowMs)]
  const index = snapshot.waves.findIndex((w) => w.ordinal === d.wave)
  if (snapshot.waves[index]?.state === 'waiting') {
    const before = snapshot.waves.slice(0, index).findLast((w) => w.state !== 'waiting')
    found.push({ code: 'wave', text: `wave ${snapshot.waves[index]!.policy.name} is not open yet`, untilMs: null, by: before === undefined ? 'the start of the rollout' : `wave ${before.policy.name}` })
    if (before !== undefined) found.push(...openingHindrances(before, snapshot.policy.alarmGate, ctx.nowMs))
  }
  found.push(...siteHindrances({ ...snapshot, targets }, candidate, ctx.nowMs))
  return found.length > 0 ? found : placeHindrances(snapshot, d.grp)
}

function placeHindrances(snapshot: RolloutSnapshot, grp: string): Hindrance[] {
  if ((snapshot.inFlightByGroup.get(grp) ?? 0) >= groupPlacesOf(snapshot, grp)) return [{ code: 'group', text: `all ${groupPlacesOf(snapshot, grp)} places of group "${grp}" are taken`, untilMs: null, by: 'sites of its group that end' }]
  if (placesTaken(snapshot) >= placesOf(snapshot)) return [{ code: 'parallel', text: `all ${placesOf(snapshot)} places are taken (maxParallel)`, untilMs: null, by: 'sites that end' }]
  return []
}

function summarise(facts: SiteFacts, rollouts: Explanation['rollouts'], last: { deployment: DeploymentRow; rollout: RolloutRow } | undefined): string {
  const runs = facts.running === null ? 'It runs nothing yet' : `It runs ${facts.running.id}`
  const first = rollouts[0]
  if (first !== undefined) {
    const why = first.blockers[0]
    return `${runs}. ${first.target} is wanted by rollout "${first.name}" (${first.state}). ${why === undefined ? 'Nothing is in its way: its turn is next.' : `First in its way: ${why.text}.`}`
  }
  if (last === undefined) return `${runs}. No rollout has ever selected it.`
  const { deployment: d, rollout: r } = last
  return `${runs}. No rollout wants to change it now; the last one, "${r.name}" to ${d.to?.id ?? 'nothing'}, ended ${d.state}${d.fault !== null ? `: ${d.fault.detail}` : d.why === d.state ? '' : `: ${d.why}`}.`
}
