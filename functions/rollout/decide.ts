import { limits } from '../../protocol/limits.ts'
import type { PauseReason } from '../../protocol/states.ts'
import { alarmEvidence, failureEvidence, groupPlacesOf, openingHindrances, placesOf, siteHindrances, skipReason, thresholdReachable, waitsForAgents, type Hindrance } from './judge.ts'
import { addTallies, executedIn, failuresIn, inFlightIn, placesTaken, type Candidate, type RolloutSnapshot, type WaveFacts } from './snapshot.ts'

/** One thing to be done, as data, with its reason: the audit entry, the explanation and the dry run are made from it. */
export type RolloutStep =
  | { kind: 'start'; why: string }
  | { kind: 'openWave'; ordinal: number; why: string }
  | { kind: 'closeWave'; ordinal: number; why: string }
  | { kind: 'grant'; siteId: string; wave: number; from: Candidate['site']['running']; why: string }
  | { kind: 'park'; siteId: string; why: string }
  | { kind: 'unpark'; siteId: string; why: string }
  | { kind: 'skip'; siteId: string; why: string }
  | { kind: 'expireParked'; why: string }
  | { kind: 'defer'; siteId: string; untilMs: number; code: string; why: string }
  | { kind: 'loseSite'; siteId: string; attempt: number; why: string }
  | { kind: 'pause'; reason: PauseReason; why: string }
  | { kind: 'lowerAcknowledged'; why: string }
  | { kind: 'complete'; why: string }
  | { kind: 'reopen'; why: string }
  | { kind: 'settleAbort'; why: string }

export type Decision = { steps: readonly RolloutStep[]; /** When to look again though nothing was reported; null: no need. */ wakeMs: number | null }

/** How long before a site that is busy, or whose presence is unknown, is looked at again if nothing else wakes it. */
const recheckMs = 30_000
/** The safety net under a running rollout, should every report be lost. */
const safetyNetMs = 5 * 60_000
/** A site where somebody works: unlocking has it looked at at once. */
const lockedRecheckMs = 15 * 60_000

/** What to do next about one rollout, from a snapshot of it. Level-triggered: what woke it makes no difference. */
export function decideRollout(snapshot: RolloutSnapshot, nowMs: number): Decision {
  const lost = snapshot.overdue.map((d): RolloutStep => ({ kind: 'loseSite', siteId: d.siteId, attempt: d.attempt, why: 'silent past the end of its grant' }))
  if (lost.length > 0) return { steps: lost, wakeMs: nowMs }
  switch (snapshot.state) {
    case 'scheduled': return decideStart(snapshot, nowMs)
    case 'aborting': return decideAbort(snapshot)
    case 'running':
    case 'completed': return decideRunning(snapshot, nowMs)
    case 'aborted':
    case 'superseded': return { steps: [], wakeMs: snapshot.nextDeadlineMs }
  }
}

function decideStart(snapshot: RolloutSnapshot, nowMs: number): Decision {
  if (snapshot.startAtMs !== null && snapshot.startAtMs > nowMs) return { steps: [], wakeMs: snapshot.startAtMs }
  if (waitsForAgents(snapshot)) return { steps: [], wakeMs: nowMs + safetyNetMs }
  if (snapshot.after !== null) return { steps: [{ kind: 'start', why: `rollout ${snapshot.after.name} (${snapshot.after.rolloutId}), which brings the agents, is ${snapshot.after.state}` }], wakeMs: nowMs }
  return { steps: [{ kind: 'start', why: snapshot.startAtMs === null ? 'it was created to start at once' : 'its time has come' }], wakeMs: nowMs }
}

function decideAbort(snapshot: RolloutSnapshot): Decision {
  const moving = snapshot.waves.reduce((sum, wave) => sum + wave.tally.granted + wave.tally.running, 0)
  return moving > 0 ? { steps: [], wakeMs: snapshot.nextDeadlineMs } : { steps: [{ kind: 'settleAbort', why: 'no site is in flight any more' }], wakeMs: null }
}

function decideRunning(snapshot: RolloutSnapshot, nowMs: number): Decision {
  const whole = addTallies(snapshot.waves.map((wave) => wave.tally))
  const steps: RolloutStep[] = []
  const acknowledgedTooMuch = snapshot.waves.some((w) => w.failuresAcknowledged > failuresIn(w.tally) || w.executedAcknowledged > executedIn(w.tally))
  if (acknowledgedTooMuch) steps.push({ kind: 'lowerAcknowledged', why: 'failures that were acknowledged have been retried or waived' })
  steps.push(...decidePauses(snapshot))
  const paused = snapshot.pauses.length > 0 || steps.some((step) => step.kind === 'pause')
  if (snapshot.state === 'completed' && whole.pending + whole.granted + whole.running > 0) steps.push({ kind: 'reopen', why: 'sites have come back or joined' })

  const waves = decideWaves(snapshot, paused, nowMs)
  steps.push(...waves.steps)
  const starts = paused ? [] : decideStarts(snapshot, waves.open, nowMs)
  steps.push(...starts.slice(0, limits.stepsPerTickMax))
  if (whole.parked > 0 && snapshot.parkedUntilMs !== null && snapshot.parkedUntilMs <= nowMs) steps.push({ kind: 'expireParked', why: 'they were offline for longer than parkedFor allows' })
  const changing = steps.length > 0

  const shut = snapshot.waves.some((wave) => !waves.open.has(wave.ordinal) && wave.tally.pending + wave.tally.parked > 0)
  const ended = !shut && !waves.opening && whole.pending + whole.granted + whole.running === 0 && starts.length === 0
  if (ended && snapshot.state === 'running') steps.push({ kind: 'complete', why: whole.parked > 0 ? `every site has ended but ${whole.parked} that are parked` : 'every site has ended' })
  return { steps, wakeMs: wakeTime(snapshot, changing, waves.wakeMs, ended, paused, nowMs) }
}

/** Failures beyond the threshold, alarms at sites that it has changed, a threshold out of reach, or a release that was withdrawn stop the rollout by themselves. */
function decidePauses(snapshot: RolloutSnapshot): RolloutStep[] {
  const has = (reason: PauseReason) => snapshot.pauses.some((pause) => pause.reason === reason)
  const found: RolloutStep[] = []
  // with nobody left to start there is nothing to stop
  if (!snapshot.waves.some((wave) => wave.tally.pending + wave.tally.parked > 0)) return found
  const evidence = failureEvidence(snapshot)
  if (evidence !== null && !has('failures')) found.push({ kind: 'pause', reason: 'failures', why: evidence })
  const alarms = alarmEvidence(snapshot)
  if (alarms !== null && !has('alarm')) found.push({ kind: 'pause', reason: 'alarm', why: alarms })
  const stuck = snapshot.waves.find((wave, i) => wave.state !== 'waiting' && snapshot.waves[i + 1]?.state === 'waiting' && !thresholdReachable(wave))
  if (stuck !== undefined && !has('threshold')) {
    const { name, successThreshold } = stuck.policy
    const nobody = failuresIn(stuck.tally) + stuck.tally.cancelled === 0
    const why = nobody ? `nobody is left in wave ${name} who could succeed: approve it to go on without, or abort` : `wave ${name} cannot reach its success threshold of ${successThreshold} any more: retry or waive its failed sites, or abort`
    found.push({ kind: 'pause', reason: 'threshold', why })
  }
  const withdrawn = [...snapshot.targets.values()].find((target) => !target.available)
  if (withdrawn !== undefined && !snapshot.back && !has('release')) found.push({ kind: 'pause', reason: 'release', why: `${withdrawn.ref.id} is not available any more` })
  return found
}

/** Opens waves one after the other as far as the opening rule allows, and notes those that are done. */
function decideWaves(snapshot: RolloutSnapshot, paused: boolean, nowMs: number): { steps: RolloutStep[]; open: ReadonlySet<number>; opening: boolean; wakeMs: number | null } {
  const steps: RolloutStep[] = []
  const open = new Set<number>()
  let wakeMs: number | null = null
  let previous: WaveFacts | null = null
  for (const wave of snapshot.waves) {
    let isOpen = wave.state !== 'waiting'
    if (!isOpen && !paused) {
      const hindrances: Hindrance[] = previous === null ? [] : openingHindrances(previous, snapshot.policy.alarmGate, nowMs)
      isOpen = hindrances.length === 0
      if (isOpen) steps.push({ kind: 'openWave', ordinal: wave.ordinal, why: previous === null ? 'it is the first wave' : `wave ${previous.policy.name} has passed its gates` })
      else wakeMs = hindrances.find((h) => h.untilMs !== null)?.untilMs ?? null
    }
    if (!isOpen) break
    open.add(wave.ordinal)
    if (wave.state === 'open' && wave.tally.pending + inFlightIn(wave.tally) === 0) steps.push({ kind: 'closeWave', ordinal: wave.ordinal, why: 'none of its sites is unstarted or in flight' })
    previous = wave
    // a wave that opens now shows its members only after they were read again
    if (wave.state === 'waiting') break
  }
  return { steps, open, opening: steps.some((step) => step.kind === 'openWave'), wakeMs }
}

/** Sites flow: the next starts when a place is free, in the order of their places, and never beyond a limit (SPEC I7). */
function decideStarts(snapshot: RolloutSnapshot, open: ReadonlySet<number>, nowMs: number): RolloutStep[] {
  const steps: RolloutStep[] = []
  let places = placesOf(snapshot) - placesTaken(snapshot)
  const inGroup = new Map(snapshot.inFlightByGroup)
  for (const candidate of snapshot.candidates) {
    if (!open.has(candidate.wave)) continue
    const first = siteHindrances(snapshot, candidate, nowMs)[0]
    if (first !== undefined) {
      const step = stepFor(candidate, first, nowMs)
      if (step !== null) steps.push(step)
      continue
    }
    if (candidate.state === 'parked') {
      steps.push({ kind: 'unpark', siteId: candidate.siteId, why: 'the site is back' })
      continue
    }
    const taken = inGroup.get(candidate.grp) ?? 0
    if (places <= 0 || taken >= groupPlacesOf(snapshot, candidate.grp)) continue
    places--
    inGroup.set(candidate.grp, taken + 1)
    steps.push({ kind: 'grant', siteId: candidate.siteId, wave: candidate.wave, from: candidate.site.running, why: 'its turn has come and a place is free' })
  }
  return steps
}

/** What a hindrance does to a deployment: some are for good, some park it, some only make it wait. */
function stepFor(candidate: Candidate, first: Hindrance, nowMs: number): RolloutStep | null {
  const { siteId } = candidate
  const deferred: Extract<RolloutStep, { kind: 'defer' }> = { kind: 'defer', siteId, untilMs: first.untilMs ?? nowMs + recheckMs, code: first.code, why: first.text }
  switch (first.code) {
    case 'removed':
    case 'already-there':
    case 'moved-on':
    case 'no-path':
    case 'architecture':
    case 'protocol':
      return { kind: 'skip', siteId, why: skipReason(first) }
    case 'offline':
    case 'not-enrolled':
      return candidate.state === 'parked' ? null : { kind: 'park', siteId, why: first.text }
    case 'no-common-protocol':
      // one that is parked already is put off, so that it does not take the others' turn to be looked at
      return candidate.state === 'parked' ? deferred : { kind: 'park', siteId, why: first.text }
    case 'locked':
      return { ...deferred, untilMs: nowMs + lockedRecheckMs }
    default:
      return deferred
  }
}

function wakeTime(snapshot: RolloutSnapshot, changing: boolean, gateMs: number | null, ended: boolean, paused: boolean, nowMs: number): number | null {
  if (changing) return nowMs
  const times = [snapshot.nextDeadlineMs, gateMs]
  if (!paused) times.push(snapshot.nextNotBeforeMs)
  if (ended) times.push(snapshot.waves.some((wave) => wave.tally.parked > 0) ? snapshot.parkedUntilMs : null)
  else if (!paused) times.push(nowMs + safetyNetMs)
  const next = times.filter((time) => time !== null)
  return next.length === 0 ? null : Math.max(Math.min(...next), nowMs + 1)
}
