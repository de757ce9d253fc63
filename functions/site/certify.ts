import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'
import type { BrokerCertificate } from '../ports/broker.ts'
import { askingSite } from './enrolment.ts'

/**
 * A client certificate for the agent that asks, for the key in its request. Throws `conflict` where the broker knows sites
 * by passwords, `unavailable` when it does not answer.
 */
export async function certify(ctx: Ctx, request: string): Promise<BrokerCertificate> {
  if (ctx.broker.certify === undefined) throw new FleetError('conflict', 'the broker of this fleet knows no certificates; the enrolment has a password', { reason: 'no-certificates' })
  const { site, incarnation } = await askingSite(ctx)
  return ctx.broker.certify(site, incarnation, request).catch((cause: unknown) => {
    throw cause instanceof FleetError ? cause : new FleetError('unavailable', 'the broker did not answer; ask again', { reason: 'broker', cause })
  })
}
