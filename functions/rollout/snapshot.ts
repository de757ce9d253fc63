import type { ReleaseRef } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { RolloutPolicy, WavePolicy } from '../../protocol/policy.ts'
import { failureStates, inFlightStates, type DeploymentState, type Presence, type RolloutState, type Severity, type SiteState, type WaveState } from '../../protocol/states.ts'
import type { NodeLockRow } from '../../db/schema/fleet.ts'
import type { Pause } from '../../db/schema/rollout.ts'
import type { StartRules } from './schedule.ts'
import type { abortModes } from '../../protocol/directives.ts'

/** How many deployments are in which state; every state has its number. */
export type Tally = Record<DeploymentState, number>

/** A wave with what its gates look at. */
export type WaveFacts = {
  ordinal: number
  policy: WavePolicy
  state: WaveState
  tally: Tally
  lastSuccessMs: number | null
  approvedBy: string | null
  /** Alarms in the way on sites that this wave has touched, whenever they were raised. */
  gatingAlarms: number
  /** Those of them that were raised after their site was granted, the first by name; null when there are none. */
  alarmsSince: { count: number; first: { siteId: string; alarmId: string; entity: string; severity: Severity; text: string } } | null
  failuresAcknowledged: number
  executedAcknowledged: number
}

/** What of a site decides whether it may start. */
export type SiteFacts = StartRules & {
  id: string
  state: SiteState
  presence: Presence
  running: ReleaseRef | null
  architecture: string | null
  protocolMin: number | null
  protocolMax: number | null
  /** Nodes where somebody works. */
  locks: readonly NodeLockRow[]
}

/** What of a target release decides whether a site may take it. */
export type TargetFacts = { ref: ReleaseRef; manifest: Manifest; available: boolean }

/** Another rollout's claim on the same site. `protocolMin`: what the release needs that it would take the site to. */
export type Rival = { rolloutId: string; name: string; priority: number; createdMs: number; inFlight: boolean; protocolMin: number }

/** A rollout that has not ended at a site, to a release that brings an agent as new as another release needs. */
export type AgentUpdate = { rolloutId: string; name: string; release: string }

/** A deployment that has not started, with all that its start depends on. */
export type Candidate = {
  siteId: string
  wave: number
  place: number
  grp: string
  state: 'pending' | 'parked'
  attempt: number
  notBeforeMs: number
  to: ReleaseRef | null
  /** For a return: the release it must still run to be returned. Null in a rollout to a release. */
  returnsFrom: ReleaseRef | null
  site: SiteFacts
  rivals: readonly Rival[]
  /** What brings the agent that `to` needs, where the site's own is too old for it. */
  agentUpdate: AgentUpdate | null
}

/** Everything a decision about one rollout is made from: read in at most two round trips, bounded however large the fleet. */
export type RolloutSnapshot = {
  id: string
  version: number
  name: string
  state: RolloutState
  policy: RolloutPolicy
  pauses: readonly Pause[]
  abortMode: (typeof abortModes)[number] | null
  back: boolean
  priority: number
  createdMs: number
  startAtMs: number | null
  startedMs: number | null
  parkedUntilMs: number | null
  wakeMs: number | null
  /** The rollout that goes first, because it brings agents that this one needs. */
  after: { rolloutId: string; name: string; state: RolloutState } | null
  waves: readonly WaveFacts[]
  /** Skipped when the waves were decided; in no wave. */
  outside: Tally
  inFlightByGroup: ReadonlyMap<string, number>
  membersByGroup: ReadonlyMap<string, number>
  targets: ReadonlyMap<string, TargetFacts>
  candidates: readonly Candidate[]
  /** In flight and silent past their deadline. */
  overdue: readonly { siteId: string; attempt: number }[]
  nextDeadlineMs: number | null
  nextNotBeforeMs: number | null
}

export const emptyTally = (): Tally => ({
  pending: 0, parked: 0, granted: 0, running: 0, succeeded: 0, failed: 0, 'rolled-back': 0, 'timed-out': 0, unknown: 0, 'needs-hands': 0, cancelled: 0, skipped: 0, superseded: 0,
})

export function addTallies(tallies: readonly Tally[]): Tally {
  const sum = emptyTally()
  for (const tally of tallies) for (const state of Object.keys(sum) as DeploymentState[]) sum[state] += tally[state]
  return sum
}

export const sumOf = (tally: Tally, states: readonly DeploymentState[]): number => states.reduce((sum, state) => sum + tally[state], 0)
export const failuresIn = (tally: Tally): number => sumOf(tally, failureStates)
export const executedIn = (tally: Tally): number => tally.succeeded + failuresIn(tally)
export const inFlightIn = (tally: Tally): number => sumOf(tally, inFlightStates)
/** Places that are taken, over all waves. */
export const placesTaken = (snapshot: Pick<RolloutSnapshot, 'waves'>): number => snapshot.waves.reduce((sum, wave) => sum + inFlightIn(wave.tally), 0)
export const membersIn = (tally: Tally): number => Object.values(tally).reduce((sum, n) => sum + n, 0)
