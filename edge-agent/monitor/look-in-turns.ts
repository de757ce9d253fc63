import type { Clock, Random } from '../host/host.ts'
import { explain, type Log } from '../log.ts'
import { createWake } from '../wake.ts'
import type { Looked } from './judge.ts'
import type { Source } from './sources.ts'

/** A look that takes long is taken less often: at most one part in so many of the time goes into it. */
const restPerLook = 20

export type TurnsParts = { clock: Clock; random: Random; log: Log; saw(source: string, looked: Looked): Promise<void> }

/** Looks at each source when its time has come; one slow source keeps no other waiting. */
export interface Turns {
  /** From now on these are looked at, each at once. What a source of before is still finding out is dropped. */
  set(sources: readonly Source[]): void
  run(signal: AbortSignal): Promise<void>
}

type Turn = { source: Source; dueMs: number; looking: boolean }

export function createTurns({ clock, random, log, saw }: TurnsParts): Turns {
  const wake = createWake()
  let turns: Turn[] = []

  async function look(turn: Turn, signal: AbortSignal): Promise<void> {
    const beganMs = clock.monotonicMs()
    try {
      const looked = await turn.source.look(signal)
      if (looked !== null && turns.includes(turn) && !signal.aborted) await saw(turn.source.name, looked)
    } catch (error) {
      if (!signal.aborted) log('warn', 'not-looked-at', { source: turn.source.name, error: explain(error) })
    }
    turn.dueMs = Math.max(turn.dueMs, beganMs + restPerLook * (clock.monotonicMs() - beganMs))
    turn.looking = false
  }

  function begin(signal: AbortSignal): void {
    const nowMs = clock.monotonicMs()
    for (const turn of turns) {
      if (turn.dueMs > nowMs) continue
      const { everyMs } = turn.source
      turn.dueMs += everyMs * (Math.floor((nowMs - turn.dueMs) / everyMs) + 1)
      if (turn.looking) continue
      turn.looking = true
      void look(turn, signal)
    }
  }

  /** Until the next is due, or until there are others. */
  async function rest(signal: AbortSignal): Promise<void> {
    const resting = new AbortController()
    const either = AbortSignal.any([signal, resting.signal])
    const spanMs = Math.max(0, Math.min(...turns.map(({ dueMs }) => dueMs)) - clock.monotonicMs())
    await Promise.race([clock.sleep(spanMs, either), wake.wait(either)]).catch(() => undefined)
    resting.abort(new Error('rested'))
  }

  return {
    set(sources) {
      turns = sources.map((source) => ({ source, dueMs: clock.monotonicMs(), looking: false }))
      wake.ring()
    },
    async run(signal) {
      // sites that came up together spread over one period
      const firstMs = clock.monotonicMs() + random.fraction() * Math.min(...turns.map(({ source }) => source.everyMs))
      for (const turn of turns) turn.dueMs = firstMs
      while (!signal.aborted) {
        begin(signal)
        await rest(signal)
      }
    },
  }
}
