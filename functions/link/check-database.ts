import { sql } from 'drizzle-orm'
import { GuardLost } from '../../db/client.ts'
import { appliedMigrations, knownMigrations, pendingMigrations } from '../../db/known-migrations.ts'
import type { Ctx } from '../context.ts'
import { doubtful, failing, working, type Check, type Finding } from './finding.ts'

const cure = 'the controller\'s log has the error under `link.failing`'
/** Slower than this for one small read, and everything is slow: it stands too far away. */
const readMsMax = 500
/** Nothing the controller decides tells these apart; beyond the second, times in the database and in the log disagree visibly. */
const skew = { doubtfulMs: 5_000, failingMs: 60_000 }

/** A read, a write under a guard that holds, and one under a guard that does not. Writes one row. */
async function lookAtDatabase(ctx: Ctx): Promise<Finding[]> {
  const startedMs = ctx.clock.nowMs()
  await ctx.db.orm.get(sql`SELECT 1`)
  const readMs = ctx.clock.nowMs() - startedMs
  const note = { sql: "INSERT INTO setting (key, value) VALUES ('doctor', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", args: [JSON.stringify({ atMs: ctx.nowMs })] }
  await ctx.db.write([note], [{ sql: 'SELECT 1', args: [], is: 1 }])
  const guarded = await ctx.db.write([note], [{ sql: 'SELECT 1', args: [], is: 2 }]).then(() => false, (error: unknown) => {
    if (error instanceof GuardLost) return true
    throw error
  })
  if (!guarded) return [failing('database', 'it does not hold a write back whose guard is lost', 'this is not a libSQL with the migrations of this project: see MURMUR_DATABASE_URL')]
  if (readMs > readMsMax) return [doubtful('database', `reads and writes, but one small read took ${readMs} ms`, 'move the database nearer to the functions, or the other way round')]
  return [working('database', `reads (${readMs} ms), and writes under guards`)]
}

async function lookAtMigrations(ctx: Ctx): Promise<Finding[]> {
  const applied = await appliedMigrations(ctx.db)
  const pending = pendingMigrations(applied)
  if (pending.length > 0) return [failing('migrations', `the database lacks ${pending.join(', ')}`, '`murmur infra migrate --apply`, with the same MURMUR_DATABASE_URL')]
  const ahead = [...applied.keys()].filter((name) => !knownMigrations.includes(name))
  return [working('migrations', ahead.length === 0 ? `all ${knownMigrations.length} are applied` : `all are applied, and ${ahead.length} of newer functions, which these work with`)]
}

/** The controller's clock against the database's, less the time the question travelled. */
async function lookAtClock(ctx: Ctx): Promise<Finding[]> {
  const askedMs = ctx.clock.nowMs()
  const answer = await ctx.db.orm.get<{ now: number }>(sql`SELECT unixepoch('subsec') AS now`)
  const offMs = Math.round((askedMs + ctx.clock.nowMs()) / 2 - answer.now * 1000)
  const off = Math.abs(offMs)
  const words = `the controller's clock and the database's are ${(off / 1000).toFixed(1)} s apart`
  const mend = 'set the clock of the machine that is wrong (NTP); `murmur infra doctor` compares with its own too'
  return [off > skew.failingMs ? failing('clock', words, mend) : off > skew.doubtfulMs ? doubtful('clock', words, mend) : working('clock', words)]
}

export const checkDatabase: Check = { link: 'database', cure, withinMs: 5000, look: lookAtDatabase }
export const checkMigrations: Check = { link: 'migrations', cure, withinMs: 5000, look: lookAtMigrations }
export const checkClock: Check = { link: 'clock', cure, withinMs: 5000, look: lookAtClock }
