import { toBase64 } from '../../protocol/bytes.ts'
import { deriveReportKey } from '../../protocol/envelope.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Enrolment } from '../../protocol/http/agent.ts'
import { SiteId } from '../../protocol/ids.ts'
import { requireTrust } from '../auth/trust.ts'
import type { Ctx } from '../context.ts'
import { loadSite } from './load.ts'

/** All that an agent of this incarnation needs. Asks the broker to admit it; throws `unavailable` when the broker does not answer. */
export async function enrolmentOf(ctx: Ctx, site: SiteId, incarnation: number): Promise<Enrolment> {
  const { envelope } = await requireTrust(ctx)
  const { fleet } = ctx.config
  const reportKey = toBase64(await deriveReportKey(ctx.crypto, ctx.keys.ingestSecret(), fleet, site, incarnation))
  const broker = await ctx.broker.admit(site, incarnation).catch((cause: unknown) => {
    throw cause instanceof FleetError ? cause : new FleetError('unavailable', 'the broker did not answer; enrol again', { reason: 'broker', cause })
  })
  return { fleet, site, incarnation, trust: envelope, reportKey, broker }
}

/**
 * The site and incarnation of the agent whose signature the request carries. Throws `unauthenticated` when another was enrolled since
 * it was verified: the one before must not get what is the next one's (F31).
 */
export async function askingSite(ctx: Ctx): Promise<{ site: SiteId; incarnation: number }> {
  const site = SiteId.parse(ctx.actor.name.slice('site:'.length))
  const { incarnation } = await loadSite(ctx, site)
  if (incarnation !== ctx.actor.incarnation) throw new FleetError('unauthenticated', 'the site was enrolled anew since', { reason: 'fenced' })
  return { site, incarnation }
}

/** The enrolment again, for the agent that asks. */
export async function renewEnrolment(ctx: Ctx): Promise<Enrolment> {
  const { site, incarnation } = await askingSite(ctx)
  return enrolmentOf(ctx, site, incarnation)
}
