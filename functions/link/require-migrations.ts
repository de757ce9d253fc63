import { appliedMigrations, pendingMigrations } from '../../db/known-migrations.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'

/** Throws `unavailable` when the database is behind these functions. One that is ahead of them is right (F57). */
export async function requireMigrations(ctx: Pick<Ctx, 'db'>): Promise<void> {
  const pending = pendingMigrations(await appliedMigrations(ctx.db))
  if (pending.length > 0) throw new FleetError('unavailable', `the database lacks ${pending.join(', ')}; bring it up to date with \`murmur infra migrate --apply\``, { reason: 'migrations-pending' })
}
