import { FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import { describeFault } from './describe-fault.ts'
import { inTime } from './finding.ts'
import { requireMigrations } from './require-migrations.ts'

const answerMsMax = 5000

/**
 * Asks the parts this process depends on for a sign of life. Throws `unavailable` that lists those that gave none; anybody may
 * ask, so it says what is wrong and no more. The database is asked for a write that changes no row: at its quota it still reads.
 */
export async function checkReadiness(ctx: Ctx): Promise<{ status: 'ok'; checks: Record<string, string> }> {
  const parts: Record<string, () => Promise<unknown>> = {
    database: async () => {
      await ctx.db.write([{ sql: 'UPDATE guard SET held = 1', args: [] }])
      await requireMigrations(ctx)
    },
    store: () => ctx.store.head(storeKeys.epoch()),
  }
  const results = await Promise.allSettled(Object.values(parts).map((ask) => inTime(ask(), answerMsMax)))
  const faults = Object.keys(parts).flatMap((path, i) => {
    const result = results[i]!
    return result.status === 'rejected' ? [{ path, ...describeFault(result.reason), cause: result.reason as unknown }] : []
  })
  if (faults.length === 0) return { status: 'ok', checks: Object.fromEntries(Object.keys(parts).map((part) => [part, 'ok'])) }
  const errors = faults.map(({ path, reason, detail }) => ({ path, message: reason === null ? 'does not answer as it should' : detail }))
  const reason = faults.find((fault) => fault.reason !== null)?.reason ?? undefined
  throw new FleetError('unavailable', errors.map(({ path, message }) => `${path}: ${message}`).join('; '), { reason, errors, cause: faults[0]!.cause })
}
