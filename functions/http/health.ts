import { sql } from 'drizzle-orm'
import { FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import type { Handlers } from './handler.ts'

/** Asks the parts this process depends on for a sign of life. Throws `unavailable` that names those that gave none. */
async function checkReadiness(ctx: Ctx): Promise<{ status: 'ok'; checks: Record<string, string> }> {
  const parts: Record<string, () => Promise<unknown>> = { database: () => ctx.db.orm.get(sql`SELECT 1`), store: () => ctx.store.head(storeKeys.epoch()) }
  const results = await Promise.allSettled(Object.values(parts).map((ask) => ask()))
  const silent = Object.keys(parts).filter((_, i) => results[i]!.status === 'rejected')
  if (silent.length > 0) throw new FleetError('unavailable', `no answer from ${silent.join(' and ')}`, { cause: results.find((result) => result.status === 'rejected') })
  return { status: 'ok', checks: Object.fromEntries(Object.keys(parts).map((part) => [part, 'ok'])) }
}

export const healthRoutes = {
  health: async (ctx) => ({ status: 'ok', version: ctx.config.version }),
  ready: (ctx) => checkReadiness(ctx),
} satisfies Partial<Handlers>
