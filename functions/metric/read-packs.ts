import { sql } from 'drizzle-orm'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import { findInPack, packHeadBytes, unpackSite } from './pack-format.ts'

/** Days that are read at the same time: Workers have six connections. */
const atOnce = 6

/**
 * A site's blocks of these days, in the order of the days, of those that were packed. Reads two rows and two parts of an object for each. What
 * cannot be read is said in the log and left out: the rest of an answer is worth having (F56).
 */
export async function* readPackedDays(ctx: Ctx, site: string, days: readonly number[]): AsyncGenerator<MetricBlock[]> {
  if (days.length === 0) return
  const packs = await ctx.db.orm.all<{ day: number; object: string }>(sql`
    SELECT p.day, p.object FROM json_each(${JSON.stringify(days)}) AS d JOIN metric_pack p ON p.day = d.value
      AND p.last_site = (SELECT min(n.last_site) FROM metric_pack n WHERE n.day = d.value AND n.last_site >= ${site}) WHERE p.object <> '' ORDER BY p.day`)
  for (let i = 0; i < packs.length; i += atOnce) yield* await Promise.all(packs.slice(i, i + atOnce).map(({ object }) => readPack(ctx, site, object)))
}

async function readPack(ctx: Ctx, site: string, object: string): Promise<MetricBlock[]> {
  try {
    const head = await ctx.store.get(object, packHeadBytes, { offset: 0, length: packHeadBytes })
    if (head === null) throw new Error('the store lacks it')
    const place = findInPack(head, site)
    if (place === null) return []
    const bytes = await ctx.store.get(object, limits.metricPackBytesMax, place)
    return await unpackSite(new Uint8Array(bytes ?? []))
  } catch (error) {
    ctx.log.write('warn', 'metrics.pack-unreadable', { object, site, cause: describeError(error), requestId: ctx.requestId })
    return []
  }
}
