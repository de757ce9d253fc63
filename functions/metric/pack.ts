import { sql } from 'drizzle-orm'
import { GuardLost, type Guard, type Statement } from '../../db/client.ts'
import { toHex } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import type { Ctx } from '../context.ts'
import { daySummaryOf, readDaySummary, type DaySummary } from './day-summary.ts'
import { judgeGrowth } from './judge-growth.ts'
import { assemblePack, packHeadBytes, packSite, sitesPerPackMax } from './pack-format.ts'
import { dayOf, daySlotOf, slotOf, startOfDay } from './ring.ts'

/** Behind every name of a site: with it a day is done. */
const endOfSites = '~'
/** How long after its end a day is left alone, for blocks that come late. */
const settleMs = 6 * 3_600_000
/** Sites whose blocks are read at once. */
const sitesPerRead = 8
/** Days that growth is worked out from. */
const growthDays = 14

type SiteDay = { site: string; bytes: Uint8Array<ArrayBuffer>; summary: DaySummary }

/**
 * Packs the next sites of the oldest day that is over and not packed yet: their blocks into one object, a line for the day into `metric_day`, and
 * how fast they fill into `capacity`. One pack of at most 200 sites or `metricPackBytesMax` a run; reads each of their 96 blocks once and 14 rows
 * of days, writes at most three rows for each site and day. With nothing to do it reads three rows. Repeated, overlapping and killed runs
 * change nothing twice: how far a day is packed guards the write, and the object is there before its row.
 */
export async function packMetrics(ctx: Ctx): Promise<void> {
  const today = dayOf(ctx.nowMs)
  for (const day of [today - 2, today - 1]) {
    if (ctx.nowMs < startOfDay(day + 1) + settleMs) return
    const [packed] = await ctx.db.orm.all<{ last: string | null }>(sql`SELECT max(last_site) AS last FROM metric_pack WHERE day = ${day}`)
    const after = packed?.last ?? null
    if (after === endOfSites) continue
    const sites = await sitesInRing(ctx, after ?? '')
    if (sites.length === 0 && after === null) return
    return packNext(ctx, day, after, sites)
  }
}

/** The next sites that have a row in the ring, and one more where there are more. One row read for each. */
async function sitesInRing(ctx: Ctx, after: string): Promise<string[]> {
  const rows = await ctx.db.orm.all<{ id: string }>(sql`
    WITH RECURSIVE known(id) AS (
      SELECT min(site_id) FROM metric_block WHERE site_id > ${after}
      UNION ALL SELECT (SELECT min(site_id) FROM metric_block WHERE site_id > known.id) FROM known WHERE known.id IS NOT NULL LIMIT ${sitesPerPackMax + 1})
    SELECT id FROM known WHERE id IS NOT NULL`)
  return rows.map(({ id }) => id)
}

async function packNext(ctx: Ctx, day: number, after: string | null, known: readonly string[]): Promise<void> {
  const sites = known.slice(0, sitesPerPackMax)
  const { siteDays, done } = await gatherDays(ctx, day, sites)
  const last = done === sites.length && known.length <= sitesPerPackMax ? endOfSites : sites[done - 1]!
  const pack = siteDays.length === 0 ? null : assemblePack(siteDays)
  const sha256 = pack === null ? '' : toHex(await ctx.crypto.sha256(pack))
  const object = pack === null ? '' : storeKeys.metrics(new Date(startOfDay(day)).toISOString().slice(0, 10), sha256)
  if (pack !== null) await ctx.store.put(object, pack, sha256)
  const asFarAs: Guard = { sql: 'SELECT max(last_site) FROM metric_pack WHERE day = ?', args: [day], is: after }
  const row: Statement = { sql: 'INSERT INTO metric_pack (day, last_site, object, stored_bytes, created_ms) VALUES (?, ?, ?, ?, ?)', args: [day, last, object, pack?.length ?? 0, ctx.nowMs] }
  try {
    await ctx.db.write([row, ...(siteDays.length === 0 ? [] : await dayStatements(ctx, day, siteDays))], [asFarAs])
  } catch (error) {
    if (!(error instanceof GuardLost)) throw error
    return dropUnused(ctx, object)
  }
  ctx.log.write('info', 'metrics.packed', { day, sites: siteDays.length, bytes: pack?.length ?? 0, upTo: last })
}

/** Another run was faster: what this one put is dropped, unless it is the very same. */
async function dropUnused(ctx: Ctx, object: string): Promise<void> {
  const used = await ctx.db.orm.all(sql`SELECT 1 FROM metric_pack WHERE object = ${object} LIMIT 1`)
  if (object !== '' && used.length === 0) await ctx.store.remove([object])
}

/** The days of as many sites as one pack takes, `done` of those asked for; sites that said nothing that day have none. */
async function gatherDays(ctx: Ctx, day: number, sites: readonly string[]): Promise<{ siteDays: SiteDay[]; done: number }> {
  const siteDays: SiteDay[] = []
  let bytes = packHeadBytes
  for (let from = 0; from < sites.length; from += sitesPerRead) {
    const lot = sites.slice(from, from + sitesPerRead)
    const blocks = await readBlocks(ctx, day, lot)
    for (const [i, site] of lot.entries()) {
      const own = blocks.get(site)
      if (own === undefined) continue
      const packed = await packSite(own)
      bytes += packed.length
      if (bytes > limits.metricPackBytesMax && siteDays.length > 0) return { siteDays, done: from + i }
      siteDays.push({ site, bytes: packed, summary: daySummaryOf(own) })
    }
  }
  return { siteDays, done: sites.length }
}

/** A day is at most two runs of slots, for the ring may begin again within it. */
async function readBlocks(ctx: Ctx, day: number, sites: readonly string[]): Promise<Map<string, MetricBlock[]>> {
  const [first, last] = [slotOf(startOfDay(day)), slotOf(startOfDay(day + 1) - 1)]
  const runs = first <= last ? [[first, last]] : [[first, limits.metricSlots - 1], [0, last]]
  const read = runs.map(([from, to]) => sql`
    SELECT b.site_id, b.start_ms, b.body FROM json_each(${JSON.stringify(sites)}) AS j JOIN metric_block b ON b.site_id = j.value AND b.slot BETWEEN ${from} AND ${to}
    WHERE b.start_ms >= ${startOfDay(day)} AND b.start_ms < ${startOfDay(day + 1)}`)
  const rows = await ctx.db.orm.all<{ site_id: string; start_ms: number; body: string }>(sql.join(read, sql` UNION ALL `))
  rows.sort((a, b) => a.start_ms - b.start_ms)
  return new Map([...Map.groupBy(rows, (row) => row.site_id)].map(([site, own]) => [site, own.map(({ start_ms, body }) => ({ startMs: start_ms, ...(JSON.parse(body) as Omit<MetricBlock, 'startMs'>) }))]))
}

/** The lines of the day, and what is known of growth with it. */
async function dayStatements(ctx: Ctx, day: number, siteDays: readonly SiteDay[]): Promise<Statement[]> {
  const before = await readDays(ctx, siteDays.map(({ site }) => site), day)
  const grown = siteDays.map(({ site, summary }) => {
    const { growthOf, daysLeft } = judgeGrowth([...(before.get(site) ?? []), { day, filesystems: summary.filesystems }])
    const [fullest] = summary.filesystems
    return [site, fullest?.node ?? '', fullest?.path ?? '', fullest === undefined ? null : growthOf(fullest), daysLeft]
  })
  // the fullest filesystem may have become another since
  const growth = 'CASE WHEN (capacity.node, capacity.path) = (j.value->>1, j.value->>2) THEN j.value->>3 END'
  return [
    {
      sql: `INSERT INTO metric_day (site_id, slot, day, summary) SELECT s.id, ?, ?, j.value->>1 FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 AND s.state <> 'removed' WHERE true
            ON CONFLICT (site_id, slot) DO UPDATE SET day = excluded.day, summary = excluded.summary WHERE excluded.day >= metric_day.day`,
      args: [daySlotOf(day), day, JSON.stringify(siteDays.map(({ site, summary }) => [site, JSON.stringify(summary)]))],
    },
    {
      sql: `UPDATE capacity SET days_left = j.value->>4, growth_bytes_per_day = ${growth} FROM json_each(?) AS j
            WHERE capacity.site_id = j.value->>0 AND (days_left IS NOT j.value->>4 OR growth_bytes_per_day IS NOT ${growth})`,
      args: [JSON.stringify(grown)],
    },
  ]
}

async function readDays(ctx: Ctx, sites: readonly string[], day: number) {
  const slots = Array.from({ length: growthDays - 1 }, (_, i) => daySlotOf(day - 1 - i))
  const rows = await ctx.db.orm.all<{ site_id: string; day: number; summary: string }>(sql`
    SELECT d.site_id, d.day, d.summary FROM json_each(${JSON.stringify(sites)}) AS j JOIN metric_day d ON d.site_id = j.value AND d.slot IN ${slots} WHERE d.day < ${day} AND d.day > ${day - growthDays}`)
  return Map.groupBy(rows.map((row) => ({ site: row.site_id, day: row.day, filesystems: readDaySummary(row.summary).filesystems })), ({ site }) => site)
}
