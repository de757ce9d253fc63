import { sql } from 'drizzle-orm'
import { FleetError } from '../../protocol/errors.ts'
import type { agentContracts } from '../../protocol/http/agent.ts'
import { at, type BodyOf, type ResponseOf } from '../../protocol/http/contract.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'

type Contract = typeof agentContracts.signDownloads

/** Short-lived URLs for objects of releases that may be fetched, delivery indexes among them. Throws `not-found` that names those that are none. */
export async function signDownloads(ctx: Ctx, { objects }: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  const rows = await ctx.db.orm.all<{ object: string }>(sql`
    SELECT DISTINCT o.object FROM json_each(${JSON.stringify(objects)}) AS wanted
    JOIN release_object o ON o.object = wanted.value JOIN release r ON r.id = o.release_id WHERE r.state IN ('available', 'withdrawn')`)
  const known = new Set(rows.map((row) => row.object))
  const unknown = objects.filter((object) => !known.has(object))
  if (unknown.length > 0) throw new FleetError('not-found', `not objects of any release that may be fetched: ${unknown.slice(0, 5).join(', ')}${unknown.length > 5 ? ', …' : ''}`)
  const signed = await Promise.all(objects.map(async (object) => ({ object, ...(await ctx.store.signGet(storeKeys.object(object), limits.urlLifeMs)) })))
  return {
    expiresAt: at(Math.min(...signed.map(({ expiresAtMs }) => expiresAtMs))),
    downloads: signed.map(({ object, url, headers }) => ({ object, url, headers })),
  }
}
