import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import { forgetAlarms } from '../alarm/record-conditions.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { forgetSite } from '../rollout/reconsider-site.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { siteUnmoved } from './load.ts'

/**
 * Removes a site: its key and claim are forgotten at once, then the broker shuts it out. When the broker does not
 * answer, removing the site again goes on from there. Its history stays; what has not started there is skipped.
 */
export async function removeSite(ctx: Ctx, id: string, input: { ifMatch: number | null }): Promise<null> {
  const [row] = await ctx.db.orm.select().from(site).where(eq(site.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no site ${id}`)
  if (row.state !== 'removed') {
    checkIfMatch(input.ifMatch, row.version)
    const gone = { state: 'removed' as const, presence: 'offline' as const, publicKey: null, claimHash: null, claimExpiresMs: null, connectionId: null, version: row.version + 1 }
    const event = { action: 'site.removed', entity: `site/${id}`, siteId: id, why: `removed by ${ctx.actor.name}`, detail: { running: row.running } }
    await ctx.db.write([statement(ctx.db.orm.update(site).set(gone).where(eq(site.id, id))), ...forgetSite(id, ctx.nowMs), forgetAlarms(ctx, id), recordEvents(ctx, [event])], [siteUnmoved(row)])
  }
  try {
    await ctx.broker.expel(id)
  } catch (cause) {
    throw new FleetError('unavailable', `${id} is removed, but the broker did not answer when it should shut it out; remove it again`, { reason: 'broker', cause })
  }
  return null
}
