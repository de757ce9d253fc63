/**
 * Every state machine of the protocol as a table. SPEC.md shows the same tables; a test compares them cell by cell.
 * `null` means: this event changes nothing in this state.
 */

export const deploymentStates = [
  'pending', 'parked', 'granted', 'running', 'succeeded', 'failed', 'rolled-back', 'timed-out',
  'unknown', 'needs-hands', 'cancelled', 'skipped', 'superseded',
] as const
export type DeploymentState = (typeof deploymentStates)[number]

export const deploymentEvents = [
  // the controller decides
  'park', 'unpark', 'grant', 'skip', 'supersede', 'cancel', 'silence', 'retry', 'waive', 'replaced',
  // the site reports
  'started', 'succeeded', 'failed', 'rolled-back', 'timed-out', 'needs-hands', 'aborted', 'not-started',
] as const
export type DeploymentEvent = (typeof deploymentEvents)[number]

type Row = Record<DeploymentEvent, DeploymentState | null>

const nothing: Row = {
  park: null, unpark: null, grant: null, skip: null, supersede: null, cancel: null, silence: null, retry: null, waive: null, replaced: null,
  started: null, succeeded: null, failed: null, 'rolled-back': null, 'timed-out': null, 'needs-hands': null, aborted: null, 'not-started': null,
}

/** A site's facts about an attempt, whenever they come: they win over what the controller had to guess. */
const facts = {
  started: 'running', succeeded: 'succeeded', failed: 'failed', 'rolled-back': 'rolled-back', 'timed-out': 'timed-out', 'needs-hands': 'needs-hands', aborted: 'cancelled',
} as const

/** deployment: one site's way through one rollout (SPEC §4.1). */
export const deploymentTable: Record<DeploymentState, Row> = {
  pending: { ...nothing, park: 'parked', grant: 'granted', skip: 'skipped', supersede: 'superseded', cancel: 'cancelled' },
  parked: { ...nothing, unpark: 'pending', skip: 'skipped', supersede: 'superseded', cancel: 'cancelled', waive: 'skipped' },
  granted: { ...nothing, ...facts, silence: 'unknown', replaced: 'pending', 'not-started': 'pending' },
  running: { ...nothing, ...facts, started: null, silence: 'unknown', replaced: 'pending', 'not-started': 'pending' },
  // an ended attempt keeps its end; only a person, or a retry the policy allows, opens the next
  succeeded: { ...nothing, replaced: 'pending' },
  failed: { ...nothing, replaced: 'pending', retry: 'pending', waive: 'skipped' },
  'rolled-back': { ...nothing, replaced: 'pending', retry: 'pending', waive: 'skipped' },
  'timed-out': { ...nothing, replaced: 'pending', retry: 'pending', waive: 'skipped' },
  // the site was lost; what it says when it comes back is the truth
  // (it takes no place again, so `started` does not move it)
  unknown: { ...nothing, ...facts, started: null, replaced: 'pending', retry: 'pending', waive: 'skipped', 'not-started': 'pending' },
  'needs-hands': { ...nothing, succeeded: 'succeeded', 'rolled-back': 'rolled-back', replaced: 'pending', retry: 'pending', waive: 'skipped' },
  cancelled: { ...nothing, retry: 'pending' },
  skipped: { ...nothing, retry: 'pending' },
  superseded: nothing,
}

/** Holding a grant: these take a place under `maxParallel` (SPEC I7). `needs-hands` keeps its place until a person waives it. */
export const inFlightStates: readonly DeploymentState[] = ['granted', 'running', 'needs-hands']
/** Not yet started, and still going to be. */
export const waitingStates: readonly DeploymentState[] = ['pending']
/** What counts against `failureThreshold`. */
export const failureStates: readonly DeploymentState[] = ['failed', 'rolled-back', 'timed-out', 'unknown', 'needs-hands']
/** Outside the denominator of `successThreshold`. */
export const outsideStates: readonly DeploymentState[] = ['parked', 'skipped', 'superseded']

export const rolloutStates = ['scheduled', 'running', 'completed', 'aborting', 'aborted', 'superseded'] as const
export type RolloutState = (typeof rolloutStates)[number]
export const rolloutEvents = ['start', 'complete', 'reopen', 'abort', 'settled', 'supersede'] as const
export type RolloutEvent = (typeof rolloutEvents)[number]

const still: Record<RolloutEvent, RolloutState | null> = { start: null, complete: null, reopen: null, abort: null, settled: null, supersede: null }

/** rollout (SPEC §4.2). Being paused is not a state but a set of reasons beside it. */
export const rolloutTable: Record<RolloutState, Record<RolloutEvent, RolloutState | null>> = {
  scheduled: { ...still, start: 'running', abort: 'aborting', supersede: 'superseded' },
  running: { ...still, complete: 'completed', abort: 'aborting', supersede: 'superseded' },
  completed: { ...still, reopen: 'running', abort: 'aborting', supersede: 'superseded' },
  aborting: { ...still, settled: 'aborted' },
  aborted: still,
  superseded: still,
}

export const waveStates = ['waiting', 'open', 'done'] as const
export type WaveState = (typeof waveStates)[number]

/** Why a rollout stands still; it goes on when the set is empty. */
export const pauseReasons = ['operator', 'failures', 'threshold', 'release', 'restored', 'alarm'] as const
export type PauseReason = (typeof pauseReasons)[number]

/** `suspect`: it counts as connected, and two periods went by without its metrics. */
export const presences = ['online', 'offline', 'unknown', 'suspect'] as const
export type Presence = (typeof presences)[number]

/** What is known of a site since the database came back from a backup (SPEC §8). */
export const restoreVerdicts = ['not-heard-yet', 'as-in-backup', 'went-on', 'moved-on', 'stranger'] as const
export type RestoreVerdict = (typeof restoreVerdicts)[number]

export const siteStates = ['claimed', 'enrolled', 'removed'] as const
export type SiteState = (typeof siteStates)[number]

export const releaseStates = ['uploading', 'checking', 'available', 'rejected', 'withdrawn'] as const
export type ReleaseState = (typeof releaseStates)[number]

/**
 * What an agent is doing with an attempt, in its journal's words. `accepted` to `verifying` may still end either way;
 * from `committing` on it only goes forward, from `rolling-back` on only back (SPEC §4.3).
 */
export const journalPhases = ['accepted', 'staging', 'applying', 'verifying', 'committing', 'rolling-back', 'ended'] as const

/** How an attempt ended, as the agent says it. Each is an event of the deployment table. */
export const outcomes = ['succeeded', 'failed', 'rolled-back', 'timed-out', 'needs-hands', 'aborted', 'not-started'] as const
export type Outcome = (typeof outcomes)[number]

export const severities = ['critical', 'major', 'minor', 'warning'] as const
export type Severity = (typeof severities)[number]

export const roles = ['viewer', 'operator', 'publisher', 'admin', 'ingest'] as const
export type Role = (typeof roles)[number]
