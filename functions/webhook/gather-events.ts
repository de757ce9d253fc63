import { and, eq, gt, sql } from 'drizzle-orm'
import { alarmEvent, type AlarmEventRow } from '../../db/schema/alarm.ts'
import { site } from '../../db/schema/fleet.ts'
import { audit, type AuditRow } from '../../db/schema/operations.ts'
import { deployment, rollout } from '../../db/schema/rollout.ts'
import { alarmIds, fleetSite } from '../../protocol/alarms.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import type { Labels } from '../../protocol/labels.ts'
import type { Ctx } from '../context.ts'
import { alarmEventOf, auditEventOf } from './make-events.ts'
import type { Candidate } from './fits.ts'

/** How far the history of alarms and the audit trail were read. */
export type Cursors = { alarmSeq: number; auditSeq: number }

/** Entries of one log that one step reads. */
const entriesPerStep = 500

/** How the failing of one endpoint is named among alarms. */
export const endpointEntity = (webhookId: string): string => `webhook=${webhookId}`

/** What is new in both logs since `from`, and how far that goes. Reads at most 500 entries of each, and for each its site, rollout and deployment by their keys. */
export async function gatherEvents(ctx: Ctx, from: Cursors): Promise<{ candidates: Candidate[]; until: Cursors }> {
  const rolloutOf = sql`substr(${audit.entity}, 9)`
  const [alarms, entries] = await ctx.db.orm.batch([
    ctx.db.orm.select({ row: alarmEvent, labels: site.labels, running: site.running, previous: site.previous }).from(alarmEvent)
      .leftJoin(site, eq(site.id, alarmEvent.siteId)).where(gt(alarmEvent.seq, from.alarmSeq)).orderBy(alarmEvent.seq).limit(entriesPerStep),
    ctx.db.orm.select({ row: audit, labels: site.labels, target: rollout.release, to: deployment.to }).from(audit)
      .leftJoin(site, eq(site.id, audit.siteId)).leftJoin(rollout, eq(rollout.id, rolloutOf)).leftJoin(deployment, and(eq(deployment.rolloutId, rolloutOf), eq(deployment.siteId, audit.siteId)))
      .where(gt(audit.seq, from.auditSeq)).orderBy(audit.seq).limit(entriesPerStep),
  ])
  const { fleet } = ctx.config
  return {
    candidates: [...alarms.filter(({ row }) => !row.silenced).map((found) => alarmCandidate(fleet, found)), ...entries.flatMap((found) => auditCandidate(fleet, found) ?? [])],
    until: { alarmSeq: alarms.at(-1)?.row.seq ?? from.alarmSeq, auditSeq: entries.at(-1)?.row.seq ?? from.auditSeq },
  }
}

const siteOf = (id: string | null, labels: Labels | null): Candidate['site'] => (id === null || labels === null ? null : { id, labels })

function alarmCandidate(fleet: string, { row, labels, running, previous }: { row: AlarmEventRow; labels: Labels | null; running: ReleaseRef | null; previous: ReleaseRef | null }): Candidate {
  const begins = row.change === 'raised' || row.change === 'unshelved'
  const releases = (begins ? [running] : [running, previous]).flatMap((ref) => ref?.id ?? [])
  const about = row.siteId === fleetSite && row.alarmId === alarmIds.webhookFailing ? row.entity : null
  return { event: alarmEventOf(fleet, row), worst: row.worst, site: siteOf(row.siteId, labels), releases, about }
}

function auditCandidate(fleet: string, { row, labels, target, to }: { row: AuditRow; labels: Labels | null; target: ReleaseRef | null; to: ReleaseRef | null }): Candidate | null {
  const event = auditEventOf(fleet, row)
  if (event === null) return null
  const named = row.entity.startsWith('release/') ? [row.entity.slice('release/'.length)] : []
  return { event, worst: null, site: siteOf(row.siteId, labels), releases: [...named, ...[target, to].flatMap((ref) => ref?.id ?? [])], about: null }
}
