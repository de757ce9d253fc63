import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'

/** Refuses a URL that no request would ever be made to (F62). */
export async function checkUrl(ctx: Pick<Ctx, 'http'>, url: string): Promise<void> {
  const refusal = await ctx.http.judge(url)
  if (refusal !== null) throw new FleetError('bad-request', `nothing can be sent to this URL: ${refusal}`, { reason: 'url', errors: [{ path: 'url', message: refusal }] })
}
