import type { Counts, DeploymentView, RolloutView, WaveView } from '../../protocol/http/rollouts.ts'
import { failureStates, deploymentStates, type DeploymentState } from '../../protocol/states.ts'
import { bytesText, plain, plural, spanText, timeText } from '../output/words.ts'
import { bar } from './bar.ts'

/** What a rollout looks like to a person: views in, lines out, nothing else. */

const barWidth = 24
const inFlightMax = 12

export const count = (counts: Counts, states: readonly DeploymentState[]): number => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0)

/** `7 succeeded, 1 rolled-back`, in the order of a deployment's life; states nobody is in are left out. */
export function countsText(counts: Counts): string {
  const parts = deploymentStates.filter((state) => (counts[state] ?? 0) > 0).map((state) => `${counts[state]} ${state}`)
  return parts.length === 0 ? 'no sites' : parts.join(', ')
}

export function targetText(target: RolloutView['target']): string {
  return 'release' in target ? target.release : `what each site ran before ${target.previousOf}`
}

/** Share of the members whose way has ended, for better or worse. */
function endedShare({ members, counts }: Pick<WaveView, 'members' | 'counts'>): number {
  const open = count(counts, ['pending', 'parked', 'granted', 'running', 'needs-hands'])
  return members === 0 ? 1 : (members - open) / members
}

const untilText = (blocker: { text: string; endsAt: string | null; endsBy: string | null }): string =>
  `${blocker.text}${blocker.endsAt === null ? '' : `, until ${timeText(blocker.endsAt)}`}${blocker.endsBy === null ? '' : ` (ended by ${blocker.endsBy})`}`

function headLine(rollout: RolloutView, nowMs: number): string {
  const since = rollout.startedAt === null ? `starts ${rollout.policy.startAt ?? 'soon'}` : spanText((rollout.endedAt === null ? nowMs : Date.parse(rollout.endedAt)) - Date.parse(rollout.startedAt))
  const state = rollout.pauses.length > 0 ? `${rollout.state}, paused` : rollout.state
  return `${rollout.name}  → ${targetText(rollout.target)}  ${state}  ${plural(rollout.members, 'site')}  ${since}`
}

function waveLines(wave: WaveView, nameWidth: number): string[] {
  const line = `  ${wave.name.padEnd(nameWidth)} ${wave.state.padEnd(7)} ${bar(endedShare(wave), barWidth)} ${String(Math.floor(endedShare(wave) * 100)).padStart(3)}%  ${countsText(wave.counts)}`
  // what an untouched wave waits for is the wave before it, which says so itself
  return wave.state === 'waiting' ? [line] : [line, ...wave.waitingFor.map((blocker) => `    next wave waits: ${untilText(blocker)}`)]
}

function deploymentLine(deployment: DeploymentView, siteWidth: number, nowMs: number): string {
  const { site, state, phase, bytesDone, bytesTotal, nodesDone, nodesTotal, attempt } = deployment
  const parts = [
    bytesTotal > 0 && phase === 'staging' ? `${bar(bytesDone / bytesTotal, 10)} ${bytesText(bytesDone)} of ${bytesText(bytesTotal)}` : '',
    nodesTotal > 0 && phase !== 'staging' ? `${nodesDone} of ${plural(nodesTotal, 'node')}` : '',
    attempt > 1 ? `attempt ${attempt}` : '',
    deployment.startedAt === null ? '' : spanText(nowMs - Date.parse(deployment.startedAt)),
    deployment.fault === null ? '' : deployment.fault.detail,
  ].filter((part) => part !== '')
  return `    ${site.padEnd(siteWidth)} ${(phase ?? state).padEnd(12)} ${parts.join('  ')}`.trimEnd()
}

/** A rollout as lines: its state, why it stands still, a bar for each wave, and the sites in flight. */
export function renderRollout(rollout: RolloutView, inFlight: readonly DeploymentView[], nowMs: number): string[] {
  const nameWidth = Math.max(6, ...rollout.waves.map((wave) => wave.name.length))
  const siteWidth = Math.max(8, ...inFlight.slice(0, inFlightMax).map((deployment) => deployment.site.length))
  const { abort } = rollout
  const parked = count(rollout.counts, ['parked'])
  return [
    headLine(rollout, nowMs),
    ...(rollout.after !== null && rollout.state === 'scheduled' ? [`  waits until ${rollout.after} has brought the agents it needs (murmur rollout watch ${rollout.after})`] : []),
    ...rollout.pauses.map((pause) => `  paused (${pause.reason}): ${pause.detail}`),
    ...(abort === null ? [] : [`  aborting (${abort.mode}): ${plural(abort.inFlight, 'site')} in flight, ${abort.acknowledged} acknowledged`]),
    ...rollout.waves.flatMap((wave) => waveLines(wave, nameWidth)),
    ...(inFlight.length === 0 ? [] : ['  in flight:']),
    ...inFlight.slice(0, inFlightMax).map((deployment) => deploymentLine(deployment, siteWidth, nowMs)),
    ...(inFlight.length > inFlightMax ? [`    and ${inFlight.length - inFlightMax} more`] : []),
    ...(parked > 0 ? [`  ${plural(parked, 'offline site')} may catch up until ${timeText(rollout.parkedUntil)}`] : []),
  ].map((line) => plain(line).replaceAll('\n', ' '))
}

/** What changed from one look to the next, a line each: for logs, where nothing can be drawn over. `before` is null at first. */
export function renderChanges(before: RolloutView | null, after: RolloutView): string[] {
  const lines: string[] = []
  if (before === null) lines.push(`${after.name} → ${targetText(after.target)}: ${plural(after.members, 'site')} in ${plural(after.waves.length, 'wave')}`)
  if (before?.state !== after.state) lines.push(`the rollout is ${after.state}${after.state === 'scheduled' && after.after !== null ? `: ${after.after} brings the agents it needs first` : ''}`)
  const reasons = (view: RolloutView | null): string[] => (view?.pauses ?? []).map((pause) => `${pause.reason}: ${pause.detail}`)
  for (const reason of reasons(after)) if (!reasons(before).includes(reason)) lines.push(`paused (${reason})`)
  if (before !== null && before.pauses.length > 0 && after.pauses.length === 0) lines.push('resumed')
  for (const [i, wave] of after.waves.entries()) {
    const earlier = before?.waves[i]
    if (wave.state !== 'waiting' && earlier?.state !== wave.state) lines.push(`wave ${wave.name} is ${wave.state}`)
    if (wave.state !== 'waiting' && (earlier === undefined || countsText(earlier.counts) !== countsText(wave.counts))) lines.push(`wave ${wave.name}: ${countsText(wave.counts)}`)
    const waits = (view: WaveView | undefined): string[] => (view === undefined || view.state === 'waiting' ? [] : view.waitingFor.filter(({ code }) => ['approval', 'soak', 'alarm'].includes(code)).map(untilText))
    for (const text of waits(wave)) if (!waits(earlier).includes(text)) lines.push(`wave ${wave.name}: the next wave waits: ${text}`)
  }
  return lines.map((line) => plain(line).replaceAll('\n', ' '))
}

/** How many sites of a rollout failed, in the wide sense of `failureThreshold`. */
export const failuresOf = (rollout: RolloutView): number => count(rollout.counts, failureStates)
export const inFlightOf = (rollout: RolloutView): number => count(rollout.counts, ['granted', 'running'])
