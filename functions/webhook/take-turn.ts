import type { Ctx } from '../context.ts'

/** What is under way in this process, for each database; `again`: somebody asked for it meanwhile. */
const underWay = new WeakMap<object, Map<string, { again: boolean }>>()

/**
 * Does `work` unless this process is at it already: then whoever is at it does it once more when he is through. It only saves work: what may not happen twice is
 * guarded in the database. On Workers nobody waits for what another invocation does, so each does its own.
 */
export async function takeTurn(ctx: Pick<Ctx, 'db' | 'config'>, name: string, work: () => Promise<void>): Promise<void> {
  if (ctx.config.host === 'worker') return work()
  const turns = underWay.get(ctx.db) ?? new Map<string, { again: boolean }>()
  underWay.set(ctx.db, turns)
  const other = turns.get(name)
  if (other !== undefined) {
    other.again = true
    return
  }
  const own = { again: true }
  turns.set(name, own)
  try {
    while (own.again) {
      own.again = false
      await work()
    }
  } finally {
    turns.delete(name)
  }
}
