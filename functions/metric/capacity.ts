import { sql } from 'drizzle-orm'
import * as z from 'zod'
import type { QueryOf, ResponseOf } from '../../protocol/http/contract.ts'
import { at } from '../../protocol/http/contract.ts'
import type { CapacityView, usageContracts } from '../../protocol/http/usage.ts'
import type { NodeName, SiteId } from '../../protocol/ids.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'

type Contract = typeof usageContracts.listCapacity
type Row = { site_id: string; used: number; node: string; path: string; size_bytes: number; growth_bytes_per_day: number | null; days_left: number | null; measured_ms: number }

/** The fullest filesystem of each site: the fullest first, or those first that will be full first, where the others are not listed. Reads the rows of the page along an index. */
export async function listCapacity(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const after = decodeCursor(z.tuple([z.enum(['used', 'days-left']), z.number(), z.string()]), query.cursor)
  const [, number, id] = after !== null && after[0] === query.order ? after : [null, null, null]
  const rows = await ctx.db.orm.all<Row>(
    query.order === 'used'
      ? sql`SELECT * FROM capacity WHERE ${id === null ? sql`true` : sql`(used, site_id) < (${number}, ${id})`} ORDER BY used DESC, site_id DESC LIMIT ${query.limit + 1}`
      : sql`SELECT * FROM capacity WHERE days_left IS NOT NULL AND ${id === null ? sql`true` : sql`(days_left, site_id) > (${number}, ${id})`} ORDER BY days_left, site_id LIMIT ${query.limit + 1}`,
  )
  return pageOf(rows, query.limit, viewCapacity, (row) => [query.order, query.order === 'used' ? row.used : row.days_left!, row.site_id])
}

const viewCapacity = (row: Row): CapacityView => ({
  site: row.site_id as SiteId, node: row.node as NodeName, path: row.path, used: row.used / 1000, sizeBytes: row.size_bytes, growthBytesPerDay: row.growth_bytes_per_day, daysLeft: row.days_left, measuredAt: at(row.measured_ms),
})
