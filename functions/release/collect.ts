import { and, asc, inArray, isNull, sql } from 'drizzle-orm'
import * as z from 'zod'
import { GuardLost, type Statement } from '../../db/client.ts'
import { release, type ReleaseRow } from '../../db/schema/release.ts'
import type { CollectionView, collectionContracts } from '../../protocol/http/collection.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { ReleaseId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { gatherCollection, stillUnused } from './gather-collection.ts'
import { judgeCollection } from './judge-collection.ts'
import { removeObjects, waitingObjects } from './remove-objects.ts'

type Input = BodyOf<typeof collectionContracts.collectReleases>
type Judged = { row: ReleaseRow; collect: boolean; why: string }

/** Objects whose rows one batch moves. */
const objectsPerRun = 20_000

/**
 * Gives up the releases that no site runs or could go back to (docs/decisions/0006): first the database, in one guarded batch,
 * then a lot of their objects in the store; a job goes on with the rest. Looks at `collectedPerRequestMax` releases,
 * oldest first. A dry run says the same and changes nothing.
 */
export async function collectReleases(ctx: Ctx, input: Input): Promise<CollectionView> {
  for (let attempt = 1; ; attempt++) {
    const { judged, next } = await judgePage(ctx, input)
    const going = judged.filter(({ collect }) => collect).map(({ row }) => row)
    const freed = await countFreed(ctx, going)
    try {
      if (!input.dryRun && going.length > 0) await giveUp(ctx, judged.filter(({ collect }) => collect))
    } catch (error) {
      if (!(error instanceof GuardLost) || attempt >= limits.casAttemptsMax) throw error
      continue
    }
    const removed = input.dryRun ? { objects: 0, bytes: 0 } : await removeObjects(ctx)
    const view = ({ row, why }: Judged) => ({ release: row.id as ReleaseId, state: row.state, why, storedBytes: row.storedBytes })
    return { dryRun: input.dryRun, collected: judged.filter(({ collect }) => collect).map(view), kept: judged.filter(({ collect }) => !collect).map(view), freed, removed, removing: await waitingObjects(ctx), next }
  }
}

async function judgePage(ctx: Ctx, { unusedFor, cursor }: Input): Promise<{ judged: Judged[]; next: string | null }> {
  const after = decodeCursor(z.tuple([z.int(), z.string()]), cursor)
  const states = ['withdrawn', 'rejected', 'uploading', ...(unusedFor === undefined ? [] : ['available' as const])] as const
  const wanted = and(isNull(release.collectedMs), inArray(release.state, [...states]), after === null ? undefined : sql`(${release.createdMs}, ${release.id}) > (${after[0]}, ${after[1]})`)
  const rows = await ctx.db.orm.select().from(release).where(wanted).orderBy(asc(release.createdMs), asc(release.id)).limit(limits.collectedPerRequestMax + 1)
  const page = pageOf(rows, fitting(rows), (row) => row, (row) => [row.createdMs, row.id])
  const { candidates, unheardSites } = await gatherCollection(ctx, page.items)
  const terms = { nowMs: ctx.nowMs, unusedForMs: unusedFor ?? null, unheardSites }
  return { judged: page.items.map((row, i) => ({ row, ...judgeCollection(candidates[i]!, terms) })), next: page.next }
}

/** As many releases as one batch can move the objects of, and at least one. */
function fitting(rows: readonly ReleaseRow[]): number {
  let objects = 0
  const last = rows.findIndex((row) => (objects += row.objects) > objectsPerRun)
  return Math.min(limits.collectedPerRequestMax, last < 0 ? rows.length : Math.max(1, last))
}

/** Objects of the releases in `going` that no other release has. */
const orphans = `SELECT object, max(stored_bytes) AS stored_bytes FROM release_object WHERE object IN (SELECT object FROM release_object WHERE release_id IN (SELECT id FROM going))
  GROUP BY object HAVING sum(release_id NOT IN (SELECT id FROM going)) = 0`

async function countFreed(ctx: Ctx, rows: readonly ReleaseRow[]): Promise<{ objects: number; bytes: number }> {
  if (rows.length === 0) return { objects: 0, bytes: 0 }
  const ids = JSON.stringify(rows.map((row) => row.id))
  const [found] = await ctx.db.orm.all<{ objects: number; bytes: number }>(
    sql`WITH going AS (SELECT value AS id FROM json_each(${ids})) SELECT count(*) AS objects, coalesce(sum(stored_bytes), 0) AS bytes FROM (${sql.raw(orphans)})`)
  return found!
}

/** Their objects become removals, unless another release has them; the releases keep their names. */
async function giveUp(ctx: Ctx, judged: readonly Judged[]): Promise<void> {
  const ids = JSON.stringify(judged.map(({ row }) => row.id))
  const details = JSON.stringify(judged.map(({ row, why }) => [row.id, row.state === 'rejected' || row.state === 'uploading' ? `its objects were collected: ${why}; announce it again` : `${row.detail === '' ? '' : `${row.detail}; `}its objects were collected`]))
  const statements: Statement[] = [
    { sql: `WITH going AS (SELECT value AS id FROM json_each(?)) INSERT INTO object_removal (object, stored_bytes) ${orphans} ON CONFLICT DO NOTHING`, args: [ids] },
    { sql: 'DELETE FROM release_object WHERE release_id IN (SELECT value FROM json_each(?))', args: [ids] },
    {
      sql: `UPDATE release SET collected_ms = ?, state = CASE state WHEN 'available' THEN 'withdrawn' ELSE state END, detail = j.value->>1, version = version + 1 FROM json_each(?) AS j WHERE release.id = j.value->>0`,
      args: [ctx.nowMs, details],
    },
    recordEvents(ctx, judged.map(({ row, why }) => ({ action: 'release.collected', entity: `release/${row.id}`, why, detail: { state: row.state, digest: row.digest, storedBytes: row.storedBytes } }))),
  ]
  await ctx.db.write(statements, stillUnused(judged.map(({ row }) => row)))
}
