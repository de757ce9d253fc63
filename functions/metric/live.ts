import { eq } from 'drizzle-orm'
import { liveView } from '../../db/schema/metric.ts'
import { FleetError } from '../../protocol/errors.ts'
import { at, type ResponseOf } from '../../protocol/http/contract.ts'
import type { usageContracts } from '../../protocol/http/usage.ts'
import type { CommandId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { issueCommands } from '../directive/issue.ts'
import { loadSite } from '../site/load.ts'

/**
 * Asks a site for faster samples for a minute. While more than half of an earlier minute is left nothing is asked or written, so that
 * many who look cost no more than one. Reads two rows, writes at most three. Throws `not-found`, and `conflict` for a site that is not
 * there to be asked, or whose agent is too old to know what is asked.
 */
export async function startLive(ctx: Ctx, id: string): Promise<ResponseOf<typeof usageContracts.startLive>> {
  const row = await loadSite(ctx, id)
  if (row.state !== 'enrolled' || row.presence === 'offline') throw new FleetError('conflict', `${id} is not online`, { reason: 'offline' })
  if ((row.protocolMax ?? 1) < 2) throw new FleetError('conflict', `the agent of ${id} (${row.agentVersion ?? 'never seen'}) is too old for a live view`, { reason: 'protocol' })
  const view = await readView(ctx, id)
  if (view !== null && view.untilMs > ctx.nowMs + limits.liveForMs / 2) return { until: at(view.untilMs) }
  const untilMs = ctx.nowMs + limits.liveForMs
  const command = { siteId: id, commandId: `cm_${ctx.ids.sortable(ctx.nowMs)}` as CommandId, body: { type: 'live' as const, everyS: limits.liveEveryS, forS: limits.liveForMs / 1000 } }
  await ctx.db.write([
    {
      // what was seen before is of no use to whoever looks anew, and an agent enrolled since counts from the start
      sql: `INSERT INTO live_view (site_id, until_ms, seq, samples) VALUES (?, ?, 0, '[]')
            ON CONFLICT (site_id) DO UPDATE SET until_ms = excluded.until_ms, seq = CASE WHEN live_view.until_ms > ? THEN live_view.seq ELSE 0 END,
              samples = CASE WHEN live_view.until_ms > ? THEN live_view.samples ELSE '[]' END`,
      args: [id, untilMs, ctx.nowMs, ctx.nowMs],
    },
    ...issueCommands(ctx, [command], untilMs),
  ])
  return { until: at(untilMs) }
}

/** The samples of a live view that is going on, or has just ended; none where nobody looks. Reads two rows. */
export async function getLive(ctx: Ctx, id: string): Promise<ResponseOf<typeof usageContracts.getLive>> {
  await loadSite(ctx, id)
  const view = await readView(ctx, id)
  return view === null ? { until: null, samples: [] } : { until: at(view.untilMs), samples: view.samples }
}

async function readView(ctx: Ctx, id: string) {
  const [view] = await ctx.db.orm.select().from(liveView).where(eq(liveView.siteId, id))
  return view ?? null
}
