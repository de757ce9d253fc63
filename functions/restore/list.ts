import { and, asc, eq, gt, ne, sql } from 'drizzle-orm'
import * as z from 'zod'
import { restoredSite } from '../../db/schema/operations.ts'
import { at, atOrNull, type QueryOf, type ResponseOf } from '../../protocol/http/contract.ts'
import type { DifferenceView, restoreContracts } from '../../protocol/http/restores.ts'
import type { AttemptReport } from '../../protocol/reports.ts'
import type { RestoreVerdict } from '../../protocol/states.ts'
import { loadTrust } from '../auth/trust.ts'
import type { Ctx } from '../context.ts'
import { decodeCursor, pageOf } from '../http/pages.ts'
import { loadEpoch } from './epoch.ts'

type Contract = typeof restoreContracts.listDifferences

const whys: Record<RestoreVerdict, string> = {
  'not-heard-yet': 'it has not said hello since; nothing starts there before',
  'as-in-backup': 'it is as the backup says',
  'went-on': 'it has ended what the backup had begun there',
  'moved-on': 'it was changed after the backup; what the backup still had to do there was skipped',
  'stranger': 'it was enrolled after the backup and is not known here; make a claim for it and enrol it again',
}

/** Sites that differ from the backup, or of which nothing is known yet, by name; `verdict` asks for those of one kind. Walks the primary key. */
export async function listDifferences(ctx: Ctx, query: QueryOf<Contract>): Promise<ResponseOf<Contract>> {
  const [after] = decodeCursor(z.tuple([z.string()]), query.cursor) ?? ['']
  const releaseKnown = sql<number>`${restoredSite.heardRunning} IS NULL OR EXISTS (SELECT 1 FROM release WHERE release.digest = ${restoredSite.heardRunning}->>'digest')`
  const wanted = and(gt(restoredSite.siteId, after), query.verdict === undefined ? ne(restoredSite.verdict, 'as-in-backup') : eq(restoredSite.verdict, query.verdict))
  const rows = await ctx.db.orm.select({ row: restoredSite, releaseKnown }).from(restoredSite).where(wanted).orderBy(asc(restoredSite.siteId)).limit(query.limit + 1)
  const [restored, trust] = [await loadEpoch(ctx), await loadTrust(ctx)]
  return {
    restore: restored === null ? null : { backup: restored.backup, takenAt: at(restored.takenMs), restoredAt: at(restored.restoredMs), epoch: restored.epoch },
    ...pageOf(rows, query.limit, ({ row, releaseKnown: known }) => viewDifference(row, known === 1, trust?.version ?? 0), ({ row }) => [row.siteId]),
  }
}

const newest = (attempt: AttemptReport | null) => (attempt === null ? null : { deployment: attempt.deployment, attempt: attempt.attempt })

function viewDifference(row: typeof restoredSite.$inferSelect, releaseKnown: boolean, trustVersion: number): DifferenceView {
  const stranger = row.verdict === 'stranger'
  const heard = row.heardMs !== null || stranger
  const whyToo = [
    ...(heard && !releaseKnown ? [`${row.heardRunning!.id} is not known here: murmur restore releases, or publish it again`] : []),
    ...(heard && (row.heardTrust ?? 0) > trustVersion ? [`it holds version ${row.heardTrust} of trust.json, here is ${trustVersion}: install the newer one again`] : []),
  ]
  return {
    site: row.siteId, verdict: row.verdict, why: [whys[row.verdict], ...whyToo].join('; '),
    backup: stranger ? null : { running: row.running, attempt: newest(row.attempt) },
    heard: heard ? { at: atOrNull(row.heardMs), running: row.heardRunning, attempt: newest(row.heardAttempt), releaseKnown, trustVersion: row.heardTrust } : null,
  }
}
