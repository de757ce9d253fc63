import { sql } from 'drizzle-orm'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'

/** What the store removes in one request. */
const lotMax = 1000
/** Longer than any removal can be under way, tries included: whoever took a lot so long ago is dead. */
const takenMsMax = 10 * 60_000

const isFree = `(taken_ms IS NULL OR taken_ms < ?)`

/** Objects that wait to be removed. Reads as many rows. */
export async function waitingObjects(ctx: Ctx): Promise<number> {
  const [found] = await ctx.db.orm.all<{ n: number }>(sql`SELECT count(*) AS n FROM object_removal`)
  return found!.n
}

/**
 * Removes one lot of collected objects from the store. They are taken first, and while they are, nobody may claim them: so what a
 * publisher puts again cannot be hit by a removal that is still under way. A killed run's lot is taken over after ten
 * minutes. Reads one row where nothing waits, else at most 1,000 and their claims; writes as many twice.
 */
export async function removeObjects(ctx: Ctx): Promise<{ objects: number; bytes: number }> {
  const none = { objects: 0, bytes: 0 }
  const takenMs = ctx.clock.nowMs()
  const deadMs = takenMs - takenMsMax
  const waiting = await ctx.db.orm.all(sql`SELECT 1 FROM object_removal WHERE taken_ms IS NULL OR taken_ms < ${deadMs} LIMIT 1`)
  if (waiting.length === 0) return none
  const [taken] = await ctx.db.write([
    {
      sql: `UPDATE object_removal SET taken_ms = ? WHERE object IN (
              SELECT object FROM object_removal x WHERE ${isFree} AND NOT EXISTS (SELECT 1 FROM release_object o WHERE o.object = x.object) LIMIT ${lotMax}) AND ${isFree} RETURNING object, stored_bytes`,
      args: [takenMs, deadMs, deadMs],
    },
  ])
  const objects = taken!.rows.map((row) => String(row['object']))
  if (objects.length === 0) return none
  await ctx.store.remove(objects.map(storeKeys.object))
  await ctx.db.write([{ sql: 'DELETE FROM object_removal WHERE taken_ms = ? AND object IN (SELECT value FROM json_each(?))', args: [takenMs, JSON.stringify(objects)] }])
  const removed = { objects: objects.length, bytes: taken!.rows.reduce((sum, row) => sum + Number(row['stored_bytes']), 0) }
  ctx.log.write('info', 'objects.removed', removed)
  return removed
}
