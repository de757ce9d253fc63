import { sql } from 'drizzle-orm'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { doubtful, working, type Check, type Finding } from './finding.ts'

/** Tried so often, a directive has waited for minutes. */
const attemptsMax = 6
const confirmMsMax = 3_600_000

/** Directives that wait for the broker, and how often one of them was tried. Reads at most `dispatchBatchMax` rows, and counts no further. */
export async function readOutbox(ctx: Pick<Ctx, 'db'>): Promise<{ waiting: number; attempts: number }> {
  return ctx.db.orm.get<{ waiting: number; attempts: number }>(sql`SELECT count(*) AS waiting, coalesce(max(attempts), 0) AS attempts FROM (SELECT attempts FROM directive WHERE pending = 1 LIMIT ${limits.dispatchBatchMax})`)
}

/** What should have moved on by itself and did not. Reads at most `dispatchBatchMax` rows of the outbox and five releases. */
async function look(ctx: Ctx): Promise<Finding[]> {
  const outbox = await readOutbox(ctx)
  const stuck = await ctx.db.orm.all<{ id: string }>(sql`SELECT id FROM release WHERE state = 'checking' AND created_ms < ${ctx.nowMs - confirmMsMax} LIMIT 5`)
  const findings: Finding[] = []
  if (outbox.attempts >= attemptsMax) findings.push(doubtful('outbox', `${outbox.waiting} directives wait for the broker, one of them after ${outbox.attempts} attempts`, 'mend what is wrong with the broker; they go out by themselves then'))
  else findings.push(working('outbox', outbox.waiting === 0 ? 'nothing waits to be sent' : `${outbox.waiting} directives are about to be sent`))
  if (stuck.length > 0) findings.push(doubtful('releases', `for over an hour the uploads of ${stuck.map(({ id }) => id).join(', ')} have not been confirmed`, 'mend what is wrong with store or cron, or publish it again: `murmur release publish` goes on where it was interrupted'))
  return findings
}

export const checkBacklog: Check = { link: 'outbox', cure: 'see what is wrong with the database first', withinMs: 5000, look }
