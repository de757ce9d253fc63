import type { BodyOf } from '../../protocol/http/contract.ts'
import type { ingressContracts } from '../../protocol/http/ingress.ts'
import type { Ctx } from '../context.ts'
import { doubtPresence } from './doubt-presence.ts'

type GapCause = NonNullable<BodyOf<typeof ingressContracts.ingest>['gap']>

/** Whoever listens may have missed last wills. Safe to repeat; the roll call that follows brings back who is there. */
export async function recordGap(ctx: Ctx, cause: GapCause): Promise<void> {
  const doubted = await doubtPresence(ctx)
  ctx.log.write('info', 'ingest.gap', { cause, doubted, by: ctx.actor.name, requestId: ctx.requestId })
}
