import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import { at } from '../../protocol/http/contract.ts'
import type { ClaimView } from '../../protocol/http/sites.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import { hashSecret, newSecret } from '../auth/secret.ts'
import { requireTrust } from '../auth/trust.ts'
import type { Ctx } from '../context.ts'
import { loadSite, siteUnmoved } from './load.ts'

/** A new claim: what the site's row keeps of it, and what the operator is shown once. Throws `conflict` while no trust.json is installed. */
export async function makeClaim(ctx: Ctx, id: SiteId): Promise<{ columns: { claimHash: string; claimExpiresMs: number }; view: ClaimView }> {
  const { rootFingerprint } = await requireTrust(ctx)
  const claim = newSecret(ctx.ids, 'mc')
  const claimExpiresMs = ctx.nowMs + limits.claimLifeMs
  const enrolLine = `murmur-agent enrol --controller ${ctx.config.publicUrl} --site ${id} --claim ${claim} --root ${rootFingerprint}`
  return { columns: { claimHash: await hashSecret(ctx.crypto, claim), claimExpiresMs }, view: { site: id, claim, expiresAt: at(claimExpiresMs), rootFingerprint, enrolLine } }
}

/** Another claim for a site, in place of one that was lost; an agent that is enrolled stays so until the claim is used. */
export async function claimSite(ctx: Ctx, id: SiteId): Promise<ClaimView> {
  const row = await loadSite(ctx, id)
  const { columns, view } = await makeClaim(ctx, id)
  const event = { action: 'site.claimed', entity: `site/${id}`, siteId: id, why: row.state === 'enrolled' ? 'a claim to enrol it anew' : 'a claim in place of the one before' }
  await ctx.db.write([statement(ctx.db.orm.update(site).set(columns).where(eq(site.id, id))), recordEvents(ctx, [event])], [siteUnmoved(row)])
  return view
}
