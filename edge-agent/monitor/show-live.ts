import { limits } from '../../protocol/limits.ts'
import type { LiveSample } from '../../protocol/metrics.ts'
import type { Clock } from '../host/host.ts'
import { explain, type Log } from '../log.ts'

export type LiveParts = { clock: Clock; log: Log; sample(): Promise<LiveSample>; send(sample: LiveSample): Promise<void>; life: AbortSignal }

/** Samples for whoever looks right now. */
export interface Live {
  /** A sample every `everyS`, for `forS` from now on; what was asked before is replaced. */
  show(everyS: number, forS: number): void
}

export function createLive({ clock, log, sample, send, life }: LiveParts): Live {
  let [everyMs, untilMs, running] = [limits.liveEveryS * 1000, 0, false]

  async function run(): Promise<void> {
    while (clock.monotonicMs() < untilMs && !life.aborted) {
      try {
        await send(await sample())
        await clock.sleep(everyMs, life)
      } catch (error) {
        if (!life.aborted) log('warn', 'live-failed', { error: explain(error) })
        break
      }
    }
    running = false
  }

  return {
    show(everyS, forS) {
      everyMs = everyS * 1000
      untilMs = clock.monotonicMs() + forS * 1000
      if (running) return
      running = true
      void run()
    },
  }
}
