import type { BootId } from '../../protocol/ids.ts'
import type { HeldState } from '../held/state.ts'
import type { Host } from '../host/host.ts'
import type { Store } from '../journal/store.ts'
import type { ClockFacts } from './judge.ts'

/** What one boot knows about time (F30). */
export interface TimeFacts {
  /** `issuedAtMs` of a directive that was verified: the wall clock cannot be right before it. */
  now(issuedAtMs?: number): Promise<ClockFacts>
  /** Hello is being said; the first one of a boot is what an untrusted clock counts from. */
  helloSaid(): void
}

export function createTimeFacts(host: Host, held: Store<HeldState>, bootId: BootId): TimeFacts {
  let firstHelloMs: number | null = null
  let floorMs = 0
  return {
    async now(issuedAtMs = 0) {
      floorMs = Math.max(floorMs, issuedAtMs, held.current!.timeFloorMs)
      const synchronised = await host.facts.clockSynchronised()
      return { nowMs: host.clock.nowMs(), floorMs, synchronised, bootId, sinceHelloMs: firstHelloMs === null ? null : host.clock.monotonicMs() - firstHelloMs }
    },
    helloSaid() {
      firstHelloMs ??= host.clock.monotonicMs()
    },
  }
}
