import type { Store } from '../journal/store.ts'
import type { HeldState } from '../held/state.ts'
import { explain, type Log } from '../log.ts'

/** Numbers reserved with one write: a crash skips what is left of them, and none is ever used twice. */
const blockSize = 1024

/** Far beyond any second of a clock, however wrong, and far below what numbers can hold. */
const secondsMax = 2 ** 40

/**
 * Hands out `seq` numbers, each once in the life of an incarnation. Where the disk refuses to reserve the next block,
 * numbers go on from memory, and the block is asked for again with each of them (F23). A life begins no lower than at the seconds of the
 * wall clock: what a life before used without a reservation, at less than one a second, lies below that.
 */
export function createNumbering(held: Store<HeldState>, nowMs: number, log: Log): () => Promise<number> {
  let last = Math.max(held.current!.seqCeiling, Math.min(secondsMax, Math.floor(nowMs / 1000)))
  return async () => {
    last += 1
    if (last > held.current!.seqCeiling) {
      const seqCeiling = last + blockSize
      await held.update((state) => ({ ...state, seqCeiling })).catch((error: unknown) => log('error', 'seq-not-reserved', { seq: last, error: explain(error) }))
    }
    return last
  }
}
