import type { Ctx } from '../../functions/context.ts'

/** The same invocation, in which somebody else does `meanwhile` between what it reads and the first batch it writes (D4). */
export function interleave(ctx: Ctx, meanwhile: () => Promise<unknown>): Ctx {
  let pending: (() => Promise<unknown>) | null = meanwhile
  return {
    ...ctx,
    db: {
      ...ctx.db,
      async write(statements, guards) {
        const first = pending
        pending = null
        await first?.()
        return ctx.db.write(statements, guards)
      },
    },
  }
}
