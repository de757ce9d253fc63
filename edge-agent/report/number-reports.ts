import type { Store } from '../journal/store.ts'
import type { HeldState } from '../held/state.ts'
import { explain, type Log } from '../log.ts'

/** Numbers reserved with one write: a crash skips what is left of them, and none is ever used twice. */
const blockSize = 1024

/**
 * Hands out `seq` numbers, each once in the life of an incarnation. Where the disk refuses to reserve the next block,
 * numbers go on from memory, and the block is asked for again with each of them (F23).
 */
export function createNumbering(held: Store<HeldState>, log: Log): () => Promise<number> {
  let last = held.current!.seqCeiling
  return async () => {
    last += 1
    if (last > held.current!.seqCeiling) {
      const seqCeiling = last + blockSize
      await held.update((state) => ({ ...state, seqCeiling })).catch((error: unknown) => log('error', 'seq-not-reserved', { seq: last, error: explain(error) }))
    }
    return last
  }
}
