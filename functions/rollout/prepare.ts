import { asc, eq, ne } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { release } from '../../db/schema/release.ts'
import { deployment, type RolloutRow } from '../../db/schema/rollout.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import { selects, type Labels } from '../../protocol/labels.ts'
import { limits } from '../../protocol/limits.ts'
import type { RolloutRequest, WavePolicy } from '../../protocol/policy.ts'
import type { Ctx } from '../context.ts'
import { assignWaves, type Placement } from './assign-waves.ts'
import { loadRollout } from './change.ts'
import { gatherTargets, siteFactsColumns } from './gather.ts'
import { fitness, skipReason } from './judge.ts'
import { planAgentsFirst } from './plan-agents-first.ts'
import { cronFault } from './schedule.ts'
import type { SiteFacts, TargetFacts } from './snapshot.ts'

/**
 * A selected site with where it is to go. `returnsFrom`: in a return, what it must still run when its turn comes; `moving`: it is
 * just being changed to that, so that cannot be checked yet.
 */
export type Selected = { site: SiteFacts & { labels: Labels }; to: ReleaseRef | null; returnsFrom: ReleaseRef | null; moving: boolean }

/** A rollout as it would be created: the same for the dry run and for the real one. */
export type Prepared = {
  request: RolloutRequest
  release: ReleaseRef | null
  targets: ReadonlyMap<string, TargetFacts>
  selected: ReadonlyMap<string, Selected>
  waves: readonly WavePolicy[]
  placements: readonly Placement[]
  skipped: readonly { siteId: string; why: string }[]
  /** Rollouts that bring the agents which this one needs, each to be ended before the next begins. */
  agentsFirst: readonly Prepared[]
}

/**
 * Selects, checks every path before anything moves, and decides the waves. Reads every site that is not removed (the
 * columns a decision needs), and for a return the deployments of the rollout that is taken back.
 */
export async function prepareRollout(ctx: Ctx, request: RolloutRequest): Promise<Prepared> {
  checkPolicy(request)
  const sites = await ctx.db.orm.select({ ...siteFactsColumns, labels: site.labels }).from(site).where(ne(site.state, 'removed')).orderBy(asc(site.id)).limit(limits.sitesMax)
  const chosen = sites.filter((s) => selects(request.selector, s))
  if (chosen.length === 0) throw new FleetError('unprocessable', 'the selector selects no site; an empty selector selects nothing (say all: true for every site)', { reason: 'selects-nothing' })
  const { selected, release: target, targets } = 'release' in request.target ? await forRelease(ctx, request.target.release, chosen) : await forReturn(ctx, request.target.previousOf, chosen)

  const unfit = new Map([...selected.values()].flatMap(({ site: s, to, returnsFrom, moving }) => {
    const hindrance = moving ? null : fitness(s, to, to === null ? undefined : targets.get(to.digest), returnsFrom)
    return hindrance === null ? [] : [[s.id, hindrance]]
  }))
  const outdated = [...selected.values()].filter(({ site: s }) => unfit.get(s.id)?.code === 'protocol').map(({ site: s }) => s)
  const steps = target === null ? new Map<string, TargetFacts>() : await planAgentsFirst(ctx, targets.get(target.digest)!, outdated)

  const skipped = [...unfit].filter(([siteId]) => !steps.has(siteId)).map(([siteId, hindrance]) => ({ siteId, why: skipReason(hindrance) }))
  const members = [...selected.values()].map(({ site: s }) => s).filter((s) => !unfit.has(s.id) || steps.has(s.id))
  return { request, release: target, targets, selected, skipped, ...placed(members, request), agentsFirst: agentsFirst(request, members, steps) }
}

const placed = (members: readonly ChosenSite[], request: RolloutRequest): Pick<Prepared, 'waves' | 'placements'> =>
  assignWaves(members.map((s) => ({ siteId: s.id, labels: s.labels, lot: lotOf(`${JSON.stringify(request.target)}/${s.id}`) })), request.policy)

/** A rollout for each release that brings agents, to the sites that it brings them to, under the same policy. */
function agentsFirst(request: RolloutRequest, members: readonly ChosenSite[], steps: ReadonlyMap<string, TargetFacts>): Prepared[] {
  return [...new Set(steps.values())].map((step): Prepared => {
    const sites = members.filter((s) => steps.get(s.id) === step)
    const own: RolloutRequest = {
      name: `${request.name.slice(0, 180)}: agents first`, target: { release: step.ref.id }, selector: { sites: sites.map((s) => s.id) }, policy: { ...request.policy, joiners: 'exclude' }, replaces: [],
    }
    const selected = new Map(sites.map((s) => [s.id, { site: s, to: step.ref, returnsFrom: null, moving: false }]))
    return { request: own, release: step.ref, targets: new Map([[step.ref.digest, step]]), selected, skipped: [], ...placed(sites, own), agentsFirst: [] }
  })
}

function checkPolicy(request: RolloutRequest): void {
  const faults = request.policy.windows.flatMap((window, i) => {
    const fault = cronFault(window.cron)
    return fault === null ? [] : [{ path: `policy.windows.${i}.cron`, message: fault }]
  })
  if (faults.length > 0) throw new FleetError('bad-request', faults.map((f) => f.message).join('; '), { errors: faults })
}

type Selection = Pick<Prepared, 'release' | 'targets'> & { selected: Map<string, Selected> }
type ChosenSite = SiteFacts & { labels: Labels }

async function forRelease(ctx: Ctx, id: string, chosen: readonly ChosenSite[]): Promise<Selection> {
  const [row] = await ctx.db.orm.select({ digest: release.digest, id: release.id, state: release.state, detail: release.detail }).from(release).where(eq(release.id, id))
  if (row === undefined) throw new FleetError('unprocessable', `there is no release ${id}`, { reason: 'no-release' })
  if (row.state !== 'available') throw new FleetError('unprocessable', `release ${id} is ${row.state}, not available${row.detail === '' ? '' : `: ${row.detail}`}`, { reason: 'release-not-available' })
  const to = { id: row.id, digest: row.digest } as ReleaseRef
  return { release: to, targets: await gatherTargets(ctx, [row.digest]), selected: new Map(chosen.map((s) => [s.id, { site: s, to, returnsFrom: null, moving: false }])) }
}

/** Only sites that the earlier rollout has ever granted: the others it never touched. */
async function forReturn(ctx: Ctx, id: string, chosen: readonly ChosenSite[]): Promise<Selection> {
  const earlier: RolloutRow = await loadRollout(ctx, id)
  const rows = await ctx.db.orm.select({ siteId: deployment.siteId, from: deployment.from, to: deployment.to, attempt: deployment.attempt, state: deployment.state }).from(deployment).where(eq(deployment.rolloutId, earlier.id))
  const touched = new Map(rows.filter((row) => row.attempt > 0).map((row) => [row.siteId, row]))
  const selected = new Map<string, Selected>()
  for (const s of chosen) {
    const row = touched.get(s.id)
    if (row !== undefined) selected.set(s.id, { site: s, to: row.from, returnsFrom: row.to, moving: row.state === 'granted' || row.state === 'running' })
  }
  if (selected.size === 0) throw new FleetError('unprocessable', `rollout ${id} has not touched any of these sites: there is nothing to return`, { reason: 'nothing-to-return' })
  return { release: null, targets: await gatherTargets(ctx, rows.flatMap((row) => (row.from === null ? [] : [row.from.digest]))), selected }
}

/** FNV-1a over the text, twice with different offsets: spreads sites evenly, and is the same in a dry run and in earnest. Not for security. */
function lotOf(text: string): string {
  const hash = (offset: number): number => {
    let h = offset
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    return h >>> 0
  }
  return hash(0x811c9dc5).toString(16).padStart(8, '0') + hash(0x9747b28c).toString(16).padStart(8, '0')
}

