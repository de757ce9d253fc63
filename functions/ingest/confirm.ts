import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'
import type { IngressConfirmation } from '../ports/broker.ts'

/** Answers a broker that asks whether its reports may come here. Throws `conflict` where the broker of this controller never asks, `forbidden` for somebody else's. */
export async function confirmIngress(ctx: Ctx, { arn, enableUrl }: IngressConfirmation): Promise<{ confirmed: true }> {
  try {
    if (ctx.broker.confirmIngress === undefined) throw new FleetError('conflict', 'the broker of this controller asks for no confirmation', { reason: 'no-confirmation' })
    await ctx.broker.confirmIngress({ arn, enableUrl })
  } catch (error) {
    ctx.log.write('warn', 'ingress.not-confirmed', { arn, detail: error instanceof Error ? error.message : String(error), requestId: ctx.requestId })
    throw error
  }
  ctx.log.write('info', 'ingress.confirmed', { arn, requestId: ctx.requestId })
  return { confirmed: true }
}
