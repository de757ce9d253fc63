import type { HeldState } from '../held/state.ts'
import type { Host } from '../host/host.ts'
import type { Store } from '../journal/store.ts'
import { protocolRange } from '../agent-version.ts'
import { explain, type Log } from '../log.ts'
import { backoffMs } from './backoff.ts'

/** The protocol version that the controller was heard to speak last (SPEC §3.4). */
export interface ProtocolTold {
  readonly version: number
  /** An answer of the controller said so. */
  told(version: number): void
  /** An idle agent asks for nothing and would be told nothing: until it was told the highest version it speaks itself, it asks now and then. */
  run(signal: AbortSignal): Promise<void>
}

export type ProtocolParts = {
  host: Host
  log: Log
  held: Store<HeldState>
  /** Asks the controller for something that changes nothing. */
  ask(): Promise<unknown>
  /** More can be said than before. */
  raised(): Promise<void>
}

const pauseMs = { base: 60_000, max: 6 * 3_600_000 }

export function createProtocolTold({ host, log, held, ask, raised }: ProtocolParts): ProtocolTold {
  let version = held.current!.protocolTold

  async function learn(newest: number): Promise<void> {
    const isMore = newest > version
    version = newest
    await held.update((state) => ({ ...state, protocolTold: newest })).catch((error: unknown) => log('warn', 'protocol-not-kept', { version: newest, error: explain(error) }))
    if (isMore) await raised()
  }

  return {
    get version() {
      return version
    },
    told(newest) {
      if (newest !== version) void learn(newest).catch(() => undefined)
    },
    async run(signal) {
      for (let asked = 0; !signal.aborted; ) {
        if (version < protocolRange.max) {
          asked += 1
          await ask().catch((error: unknown) => log('warn', 'protocol-not-told', { error: explain(error) }))
        } else asked = 0
        await host.clock.sleep(version < protocolRange.max ? backoffMs(asked, pauseMs, host.random) : pauseMs.max, signal).catch(() => undefined)
      }
    },
  }
}
