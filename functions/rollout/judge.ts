import type { ReleaseRef } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { amountDown, isBarrier } from '../../protocol/policy.ts'
import { inFlightStates, outsideStates, type RolloutState } from '../../protocol/states.ts'
import { controllerProtocols, protocolsOf, standingOf } from '../../protocol/protocol-versions.ts'
import { checkUpgradePath } from '../../protocol/upgrade-path.ts'
import { startBlocker } from './schedule.ts'
import { executedIn, failuresIn, membersIn, sumOf, type Candidate, type Rival, type RolloutSnapshot, type SiteFacts, type TargetFacts, type WaveFacts } from './snapshot.ts'

/**
 * One reason why something does not happen yet. `decide` acts on the first, `explain` shows them all, so that what an
 * operator reads is what the controller did. `untilMs`: ends by itself then. `by`: who or what ends it.
 */
export type Hindrance = { code: HindranceCode; text: string; untilMs: number | null; by: string | null }
export type HindranceCode =
  | 'scheduled' | 'paused' | 'aborted' | 'superseded' | 'wave' | 'retry-wait'
  | 'removed' | 'not-enrolled' | 'already-there' | 'moved-on' | 'no-path' | 'architecture' | 'protocol' | 'release' | 'agents-first' | 'agent' | 'no-common-protocol'
  | 'busy' | 'offline' | 'presence' | 'locked' | 'freeze' | 'window' | 'group' | 'parallel'
  | 'unstarted' | 'threshold' | 'no-success' | 'alarm' | 'in-flight' | 'soak' | 'approval'

const hindrance = (code: HindranceCode, text: string, ends: { untilMs?: number | null; by?: string } = {}): Hindrance => ({ code, text, untilMs: ends.untilMs ?? null, by: ends.by ?? null })

/** Places under `maxParallel`, and under the group's own limit. */
export const placesOf = (snapshot: RolloutSnapshot): number => amountDown(snapshot.policy.maxParallel, snapshot.waves.reduce((sum, wave) => sum + membersIn(wave.tally), 0))
export const groupPlacesOf = (snapshot: RolloutSnapshot, grp: string): number =>
  snapshot.policy.groupBy === null ? Number.POSITIVE_INFINITY : amountDown(snapshot.policy.groupBy.maxParallel, snapshot.membersByGroup.get(grp) ?? 0)

/** Why a site is skipped, with what would help where something would. */
export const skipReason = ({ text, by }: Hindrance): string => (by === null ? text : `${text}; it takes ${by}`)

/** What a site lacks to take a release, for good: the same answer whenever it is asked, until the site or the release changes. */
export function fitness(site: SiteFacts, to: ReleaseRef | null, target: TargetFacts | undefined, returnsFrom: ReleaseRef | null): Hindrance | null {
  if (site.state === 'removed') return hindrance('removed', 'the site was removed')
  if (to === null) return hindrance('moved-on', 'it ran nothing before that it could return to')
  if (site.running?.digest === to.digest) return hindrance('already-there', `it already runs ${to.id}`)
  if (returnsFrom !== null && site.running?.digest !== returnsFrom.digest) return hindrance('moved-on', `it does not run ${returnsFrom.id} any more, but ${site.running?.id ?? 'nothing'}`)
  if (target === undefined) return hindrance('no-path', `${to.id} is not known here`)
  const { manifest } = target
  if (manifest.architectures !== undefined && site.architecture !== null && !manifest.architectures.includes(site.architecture)) {
    return hindrance('architecture', `${to.id} is for ${manifest.architectures.join(', ')}, the site is ${site.architecture}`)
  }
  if (needsNewerAgent(site, manifest)) return hindrance('protocol', `${to.id} needs an agent of protocol ${manifest.protocolMin}, the site has ${site.protocolMax}`, { by: `a release that brings one and that ${site.running === null ? 'a site that runs nothing' : site.running.id} may go to, or an agent installed by hand` })
  if (returnsFrom !== null) return null
  const path = checkUpgradePath(site.running?.id ?? null, manifest)
  return path.ok ? null : hindrance('no-path', path.refusal.detail)
}

/** Whether a site's agent is too old for a release. An agent that has never said hello may be new enough. */
export const needsNewerAgent = (site: Pick<SiteFacts, 'protocolMax'>, release: { protocolMin: number }): boolean => site.protocolMax !== null && site.protocolMax < release.protocolMin

/** A site whose agent has no protocol version in common with this controller is told nothing: it could misunderstand. */
function standingHindrance(site: SiteFacts): Hindrance | null {
  const agent = protocolsOf(site)
  const standing = agent === null ? 'ok' : standingOf(agent, controllerProtocols)
  if (agent === null || standing === 'ok') return null
  const text = `its agent is ${standing === 'too-new' ? 'too new' : 'too old'}: it speaks protocol ${agent.min} to ${agent.max}, this controller ${controllerProtocols.min} to ${controllerProtocols.max}`
  return hindrance('no-common-protocol', text, { by: standing === 'too-new' ? "a newer controller, then the site's next hello" : "another agent, installed by hand, and its hello" })
}

/** Whether another rollout's deployment goes first at the same site: in flight, or by priority, then age, then id. */
export function precedes(rival: Rival, own: { priority: number; createdMs: number; id: string }): boolean {
  if (rival.inFlight) return true
  return rival.priority !== own.priority ? rival.priority > own.priority : rival.createdMs !== own.createdMs ? rival.createdMs < own.createdMs : rival.rolloutId < own.id
}

/** Why this site cannot start now, apart from the rollout's own state and the places left: first what is for good, then what passes. */
export function siteHindrances(snapshot: RolloutSnapshot, candidate: Candidate, nowMs: number): Hindrance[] {
  const { site } = candidate
  // a rival that waits for a newer agent does not go first: it may be this rollout that brings it
  const rival = candidate.rivals.find((r) => r.inFlight) ?? candidate.rivals.find((r) => precedes(r, snapshot) && !needsNewerAgent(site, r))
  // while another rollout changes the site, nothing else about it can be judged
  if (rival?.inFlight === true) return [hindrance('busy', `is being changed by rollout ${rival.name} (${rival.rolloutId})`, { by: `rollout ${rival.rolloutId}` })]
  const target = candidate.to === null ? undefined : snapshot.targets.get(candidate.to.digest)
  const unfit = fitness(site, candidate.to, target, candidate.returnsFrom)
  const { agentUpdate } = candidate
  if (unfit !== null && (unfit.code !== 'protocol' || agentUpdate === null)) return [unfit]
  const apart = standingHindrance(site)
  if (apart !== null) return [apart]
  const found: Hindrance[] = []
  if (candidate.notBeforeMs > nowMs && candidate.attempt > 0) found.push(hindrance('retry-wait', 'waits before the next attempt', { untilMs: candidate.notBeforeMs }))
  if (rival !== undefined) found.push(hindrance('busy', `goes first through rollout ${rival.name} (${rival.rolloutId})`, { by: `rollout ${rival.rolloutId}` }))
  if (site.state === 'claimed') found.push(hindrance('not-enrolled', 'no agent has enrolled yet', { by: 'the site, when its agent enrols' }))
  else if (site.presence === 'offline') found.push(hindrance('offline', 'the site is offline; it catches up when it is back', { by: 'the site, when it connects' }))
  else if (site.presence === 'suspect') found.push(hindrance('offline', 'the site has sent no metrics for two periods, and counts as offline until it does', { by: 'the site, when it is heard again' }))
  else if (site.presence === 'unknown') found.push(hindrance('presence', 'it is not known whether the site is connected', { by: "the site's next hello" }))
  if (unfit !== null && agentUpdate !== null) found.push(hindrance('agent', `${unfit.text}; ${agentUpdate.release} brings one, by rollout ${agentUpdate.name} (${agentUpdate.rolloutId})`, { by: `rollout ${agentUpdate.rolloutId}, then the site's next hello` }))
  if (site.locks.length > 0) found.push(lockHindrance(site))
  const start = startBlocker(site, snapshot.policy, nowMs)
  if (start !== null) found.push(hindrance(start.code, start.text, { untilMs: start.untilMs }))
  return found
}

function lockHindrance({ id, locks }: SiteFacts): Hindrance {
  const nodes = locks.map(({ node, by, reason }) => `${node} (${by}: ${reason})`).join(', ')
  return hindrance('locked', `somebody works at ${nodes}`.slice(0, limits.reasonLengthMax), { by: `a person (murmur site unlock ${id} ${locks.map(({ node }) => node).join(' ')})` })
}

/** Whether the rollout that brings agents has not ended yet. */
export const waitsForAgents = ({ after }: Pick<RolloutSnapshot, 'after'>): boolean => after !== null && !overStates.has(after.state)
const overStates: ReadonlySet<RolloutState> = new Set<RolloutState>(['completed', 'aborted', 'superseded'])

/** Why no site of this rollout may start now, whatever site it is. */
export function rolloutHindrances(snapshot: RolloutSnapshot, nowMs: number): Hindrance[] {
  switch (snapshot.state) {
    case 'superseded': return [hindrance('superseded', 'the rollout was superseded by another')]
    case 'aborting':
    case 'aborted': return [hindrance('aborted', 'the rollout was aborted')]
    case 'scheduled':
      if (waitsForAgents(snapshot)) return [hindrance('agents-first', `sites that need a newer agent get it first, by rollout ${snapshot.after!.name} (${snapshot.after!.rolloutId}), which is ${snapshot.after!.state}`, { by: `rollout ${snapshot.after!.rolloutId}` })]
      return [hindrance('scheduled', 'the rollout has not started yet', { untilMs: Math.max(snapshot.startAtMs ?? nowMs, nowMs) })]
    case 'running':
    case 'completed':
      return snapshot.pauses.map((pause) => hindrance('paused', `the rollout is paused (${pause.reason}): ${pause.detail}`, { by: 'a person (murmur rollout resume)' }))
  }
}

/**
 * The opening rule (SPEC I13): what keeps the wave *after* this one shut. Empty: it may open.
 * In flight counts as not succeeded; parked, skipped and superseded members are outside the count.
 */
export function openingHindrances(wave: WaveFacts, alarmGate: boolean, nowMs: number): Hindrance[] {
  const { tally, policy } = wave
  const counted = membersIn(tally) - sumOf(tally, outsideStates)
  const inFlight = sumOf(tally, inFlightStates)
  const needed = Math.ceil(policy.successThreshold * counted - 1e-9)
  const found: Hindrance[] = []
  if (tally.pending > 0) found.push(hindrance('unstarted', `${tally.pending} of wave ${policy.name} have not started`))
  if (tally.succeeded < needed) found.push(hindrance('threshold', `${tally.succeeded} of wave ${policy.name} succeeded, ${needed} of ${counted} are needed`, { by: thresholdReachable(wave) ? 'sites that succeed' : 'a person (murmur rollout retry, waive or abort)' }))
  else if (tally.succeeded === 0 && wave.approvedBy === null) {
    const by = mayStillSucceed(wave) === 0 ? 'a person (murmur rollout approve)' : tally.parked > 0 ? 'its parked sites, or a person (murmur rollout approve)' : 'sites that succeed'
    found.push(hindrance('no-success', `no site of wave ${policy.name} has succeeded`, { by }))
  }
  if (alarmGate && wave.gatingAlarms > 0) found.push(hindrance('alarm', `${wave.gatingAlarms === 1 ? 'a gating alarm stands' : `${wave.gatingAlarms} gating alarms stand`} on sites of wave ${policy.name}`, { by: 'the alarms, when they clear, or a person (murmur alarm ack)' }))
  if (!isBarrier(policy)) return found
  if (inFlight > 0) found.push(hindrance('in-flight', `${inFlight} of wave ${policy.name} have not ended`))
  if (wave.lastSuccessMs !== null && wave.lastSuccessMs + policy.soak > nowMs) found.push(hindrance('soak', `wave ${policy.name} soaks`, { untilMs: wave.lastSuccessMs + policy.soak }))
  if (policy.approval && wave.approvedBy === null) found.push(hindrance('approval', `wave ${policy.name} waits for approval`, { by: 'a person (murmur rollout approve)' }))
  return found
}

/** Members that have not ended, or were parked and may come back. */
const mayStillSucceed = ({ tally }: WaveFacts): number => tally.pending + tally.parked + tally.granted + tally.running

/**
 * Whether the wave could still open the next if every member that has not ended succeeded. A wave of which nobody is left that could
 * succeed proves nothing; only a person can let it pass.
 */
export function thresholdReachable(wave: WaveFacts): boolean {
  const { tally } = wave
  if (tally.succeeded === 0 && mayStillSucceed(wave) === 0 && wave.approvedBy === null) return false
  const counted = membersIn(tally) - sumOf(tally, outsideStates)
  return tally.succeeded + tally.pending + tally.granted + tally.running >= Math.ceil(wave.policy.successThreshold * counted - 1e-9)
}

/** The first gating alarm that was raised at a site since it was granted, and how many more there are; null without any, or where the policy does not look at alarms. */
export function alarmEvidence({ policy, waves }: Pick<RolloutSnapshot, 'policy' | 'waves'>): string | null {
  const found = waves.flatMap(({ alarmsSince }) => alarmsSince ?? [])
  if (!policy.alarmGate || found.length === 0) return null
  const { siteId, alarmId, entity, severity, text } = found[0]!.first
  const more = found.reduce((sum, { count }) => sum + count, 0) - 1
  return `${severity} alarm ${alarmId} (${entity}) at ${siteId}${more > 0 ? ` and ${more} more` : ''}: ${text}`.slice(0, limits.reasonLengthMax)
}

/** Whether failures since they were last acknowledged are too many, here or over all waves; the evidence, or null. */
export function failureEvidence(snapshot: RolloutSnapshot): string | null {
  const { value, minExecuted } = snapshot.policy.failureThreshold
  const scopes = snapshot.waves.map((wave) => ({ name: `wave ${wave.policy.name}`, failed: failuresIn(wave.tally) - wave.failuresAcknowledged, executed: executedIn(wave.tally) - wave.executedAcknowledged }))
  const whole = scopes.reduce((sum, s) => ({ name: 'the rollout', failed: sum.failed + s.failed, executed: sum.executed + s.executed }), { name: 'the rollout', failed: 0, executed: 0 })
  for (const { name, failed, executed } of [...scopes, whole]) {
    if (failed <= 0) continue
    if (typeof value === 'number' ? failed >= value : executed >= minExecuted && failed >= (Number.parseFloat(value) / 100) * executed) {
      return `${failed} of ${Math.max(executed, failed)} sites that ended in ${name} failed; the limit is ${value}${typeof value === 'number' ? '' : ` once ${minExecuted} have ended`}`
    }
  }
  return null
}
