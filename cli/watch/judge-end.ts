import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { ExitName } from '../exit-codes.ts'
import { plural } from '../output/words.ts'
import { count, countsText, failuresOf, inFlightOf } from './render.ts'

export type End = { exit: ExitName; text: string }

/**
 * Whether there is nothing more to watch, and how that counts. With `stay`, a rollout that waits for a person is watched
 * on; without, it ends the watch once no site is in flight.
 */
export function judgeEnd(rollout: RolloutView, stay: boolean): End | null {
  const { state, counts, pauses, waves } = rollout
  if (state === 'completed') return judgeCompleted(rollout)
  if (state === 'aborted' || state === 'superseded') return { exit: 'rollout-failed', text: `the rollout was ${state}: ${countsText(counts)}` }
  if (stay || inFlightOf(rollout) > 0) return null
  if (pauses.length > 0) return { exit: 'waits-for-person', text: `paused (${pauses.map((pause) => pause.reason).join(', ')}): ${countsText(counts)}` }
  const approval = waves.find((wave) => wave.state !== 'waiting' && wave.waitingFor.length > 0 && wave.waitingFor.every((blocker) => blocker.code === 'approval'))
  if (approval !== undefined) return { exit: 'waits-for-person', text: `wave ${approval.name} is through, and the next one waits for approval: murmur rollout approve ${rollout.id}` }
  const needHands = count(counts, ['needs-hands'])
  return needHands > 0 && count(counts, ['pending']) === 0 ? { exit: 'waits-for-person', text: `${plural(needHands, 'site needs', 'sites need')} hands` } : null
}

function judgeCompleted(rollout: RolloutView): End {
  const { counts } = rollout
  const text = `completed: ${countsText(counts)}`
  if (failuresOf(rollout) + count(counts, ['cancelled', 'superseded']) > 0) return { exit: 'rollout-failed', text }
  return { exit: count(counts, ['parked']) > 0 ? 'parked' : 'ok', text }
}
