import type { Ctx } from '../context.ts'

/** An upload that nobody has gone on with for so long was given up: its publisher begins again. */
const abandonedMs = 86_400_000

/** Has the store forget what is left of uploads that were given up. Bounded by the store. */
export async function sweepUploads(ctx: Ctx): Promise<number> {
  const swept = (await ctx.store.unfinished?.sweep(ctx.nowMs - abandonedMs)) ?? 0
  if (swept > 0) ctx.log.write('info', 'uploads.swept', { uploads: swept })
  return swept
}
