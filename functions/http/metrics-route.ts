import type { Context } from 'hono'
import * as z from 'zod'
import { FleetError, parseOrThrow } from '../../protocol/errors.ts'
import { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { newContext, type Deps } from '../context.ts'
import { exposeFleet } from '../metric/expose-fleet.ts'
import { exposeSites } from '../metric/expose-sites.ts'
import { expositionType, formatExposition } from '../metric/exposition.ts'
import { allows } from './allows.ts'
import { authenticate } from './authenticate.ts'
import { requestIdOf } from './serve-contract.ts'

const Query = z.strictObject({ by: z.literal('site').optional(), after: SiteId.optional(), limit: z.coerce.number().int().min(1).max(limits.pageSizeMax).default(100) })

/**
 * `GET /metrics`: the fleet in Prometheus' text format, for a bearer token of any role that reads. `?by=site` gives the newest samples of each site instead, a page at a
 * time: `Link` with `rel="next"` names the page after it. Throws FleetErrors, for the app to answer.
 */
export function serveMetrics(deps: Deps): (c: Context) => Promise<Response> {
  return async (c) => {
    const actor = await authenticate(deps, c.req.raw, async () => new Uint8Array(0))
    if (!allows('viewer', actor.role)) throw new FleetError('forbidden', `this needs the role viewer, and ${actor.name} has ${actor.role}`)
    const query = parseOrThrow(Query, c.req.query(), 'the query')
    const ctx = newContext(deps, actor, requestIdOf(deps, c.req.raw))
    const headers: Record<string, string> = { 'content-type': expositionType, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-request-id': ctx.requestId }
    if (query.by === undefined) return c.body(formatExposition(await exposeFleet(ctx)), 200, headers)
    const { families, next } = await exposeSites(ctx, { after: query.after ?? '', limit: query.limit })
    if (next !== null) headers.link = `</metrics?by=site&after=${next}&limit=${query.limit}>; rel="next"`
    return c.body(formatExposition(families), 200, headers)
  }
}
