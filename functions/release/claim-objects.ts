import { GuardLost } from '../../db/client.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'
import { requireKept } from './load.ts'

/** That a publisher is at work is noted once in this time, not with every request. */
const touchEveryMs = 3_600_000

/**
 * Notes that a release is made of these objects, and takes them back from those that were to be removed. What the store is
 * seen to have after this stays there: nothing that a release claims is ever removed. Throws `unavailable` while one of them
 * is just being removed, and `conflict` for a release that was collected. One batch; writes rows for new claims only.
 */
export async function claimObjects(ctx: Ctx, releaseId: string, objects: readonly { digest: string; size: number }[]): Promise<void> {
  const rows = JSON.stringify(objects.map(({ digest, size }) => [digest, size]))
  try {
    await ctx.db.write(
      [
        {
          sql: `INSERT INTO release_object (object, release_id, stored_bytes) SELECT value->>0, ?, value->>1 FROM json_each(?) WHERE true
                ON CONFLICT (object, release_id) DO UPDATE SET stored_bytes = excluded.stored_bytes WHERE stored_bytes <> excluded.stored_bytes`,
          args: [releaseId, rows],
        },
        { sql: 'DELETE FROM object_removal WHERE object IN (SELECT value->>0 FROM json_each(?))', args: [rows] },
        { sql: 'UPDATE release SET touched_ms = ? WHERE id = ? AND coalesce(touched_ms, 0) < ?', args: [ctx.nowMs, releaseId, ctx.nowMs - touchEveryMs] },
      ],
      [
        { sql: 'SELECT count(*) FROM object_removal WHERE taken_ms IS NOT NULL AND object IN (SELECT value->>0 FROM json_each(?))', args: [rows], is: 0 },
        { sql: 'SELECT collected_ms FROM release WHERE id = ?', args: [releaseId], is: null },
      ],
    )
  } catch (error) {
    if (!(error instanceof GuardLost)) throw error
    await requireKept(ctx, releaseId)
    throw new FleetError('unavailable', 'some of these objects are just being removed from the store; try again in a minute', { reason: 'being-removed' })
  }
}
