import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import { splitDeploymentId } from '../../protocol/ids.ts'
import type { Ctx } from '../context.ts'
import type { Folded } from '../ingest/fold.ts'
import { inFlightWhy } from './begin-anew.ts'
import { epochKey } from './epoch.ts'

/**
 * Rows of hellos as `j` has them: 0 site, 1 incarnation, 2 sequence, 3 running, 4 its digest, 5 attempt, 6 its rollout, 7 its number,
 * 8 trust version, 9 what ran before that attempt, 10 whether it goes on, 11 its deployment.
 */
function helloRows(hellos: Folded['hellos']): string {
  const text = (value: unknown) => (value === null ? null : JSON.stringify(value))
  return JSON.stringify(
    hellos.map(({ site, incarnation, seq, body: { running, previous, attempt, trustVersion } }) => [
      site, incarnation, seq, text(running), running?.digest ?? null, text(attempt), attempt === null ? null : splitDeploymentId(attempt.deployment).rollout, attempt?.attempt ?? null,
      trustVersion, text(attempt?.outcome === 'succeeded' ? previous : running), attempt !== null && attempt.phase !== 'ended' ? 1 : 0, attempt?.deployment ?? null,
    ]),
  )
}

/** The hello is news: of the site as we know it, and not taken in before. */
const fresh = `JOIN site s ON s.id = j.value->>0 AND s.incarnation = j.value->>1 AND s.state = 'enrolled' AND s.hello_seq < j.value->>2`
const itsDeployment = (more: string) => `EXISTS (SELECT 1 FROM deployment d WHERE d.rollout_id = j.value->>6 AND d.site_id = j.value->>0 AND ${more})`
const strangeAttempt = `(j.value->>7 IS NOT NULL AND NOT ${itsDeployment('d.attempt >= j.value->>7')})`

/**
 * What the hellos teach a database that came back from a backup (SPEC §8, F58); they go before everything else a hello does, and cost one
 * look at an empty table where nothing was restored. A site that has moved on since the backup is left alone by all rollouts of the backup.
 */
export function heedHellos(ctx: Pick<Ctx, 'nowMs' | 'requestId'>, hellos: Folded['hellos']): Statement[] {
  const rows = helloRows(hellos)
  const heard = `FROM json_each(?) AS j ${fresh} JOIN restored_site r ON r.site_id = s.id AND r.heard_seq = j.value->>2 AND r.heard_ms = ?`
  return [noteStatement(ctx, rows), ...learnStatements(ctx, rows, heard), ...leaveStatements(ctx, rows, heard), strangerStatement(rows)]
}

/** The first hello, and each later one that tells of an attempt nobody here knows and it did not tell of before (a delayed hello may have come first). */
const noteStatement = (ctx: Pick<Ctx, 'nowMs'>, rows: string): Statement => ({
  sql: `UPDATE restored_site SET heard_ms = ?, heard_seq = j.value->>2, heard_running = j.value->>3, heard_attempt = j.value->>5, heard_trust = j.value->>8,
          verdict = CASE WHEN ${strangeAttempt} THEN 'moved-on' WHEN j.value->>4 IS restored_site.running->>'digest' THEN 'as-in-backup'
            WHEN ${itsDeployment(`d.to_release->>'digest' = j.value->>4`)} THEN 'went-on' ELSE 'moved-on' END
        FROM json_each(?) AS j ${fresh}
        WHERE restored_site.site_id = s.id AND (restored_site.heard_ms IS NULL
          OR (${strangeAttempt} AND (j.value->>11 IS NOT restored_site.heard_attempt->>'deployment' OR j.value->>7 IS NOT restored_site.heard_attempt->>'attempt')))`,
  args: [ctx.nowMs, rows],
})

/** An attempt that the site was granted after the backup: its deployment is at it now, and the hello's own word moves it on from there. */
function learnStatements(ctx: Pick<Ctx, 'nowMs' | 'requestId'>, rows: string, heard: string): Statement[] {
  const mine = `d.rollout_id = j.value->>6 AND d.site_id = j.value->>0`
  const learnt = `(d.attempt < j.value->>7 OR (d.attempt = j.value->>7 AND d.state = 'unknown' AND d.why = '${inFlightWhy}' AND j.value->>10))`
  const why = 'the site was granted this attempt after the backup was taken'
  return [
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
            SELECT ?, 'site:' || d.site_id, 'deployment.learn', 'rollout/' || d.rollout_id, d.site_id, ?, json_object('attempt', j.value->>7, 'state', 'running'), ? ${heard} JOIN deployment d ON ${mine} WHERE ${learnt}`,
      args: [ctx.nowMs, why, ctx.requestId, rows, ctx.nowMs],
    },
    {
      sql: `UPDATE deployment SET state = 'running', attempt = told.attempt, why = ?, from_release = coalesce(deployment.from_release, told.from_release), granted_ms = coalesce(deployment.granted_ms, ?), started_ms = ?,
              ended_ms = NULL, deadline_ms = ? + told.max_duration_ms + ${limits.grantMarginMs}, updated_ms = ?
            FROM (SELECT d.rollout_id, d.site_id, j.value->>7 AS attempt, j.value->>9 AS from_release, ro.policy->>'maxDuration' AS max_duration_ms
              ${heard} JOIN deployment d ON ${mine} JOIN rollout ro ON ro.id = d.rollout_id WHERE ${learnt}) AS told
            WHERE deployment.rollout_id = told.rollout_id AND deployment.site_id = told.site_id`,
      args: [why, ctx.nowMs, ctx.nowMs, ctx.nowMs, ctx.nowMs, rows, ctx.nowMs],
    },
  ]
}

/** All else that the backup still had to do at a site that has moved on: a person may retry it. */
function leaveStatements(ctx: Pick<Ctx, 'nowMs' | 'requestId'>, rows: string, heard: string): Statement[] {
  const why = 'the site has moved on since the backup was taken: see murmur restore differences, and retry it where it is still wanted'
  const left = `${heard} AND r.verdict = 'moved-on' JOIN deployment d ON d.site_id = s.id AND d.state IN ('pending', 'parked', 'unknown', 'needs-hands') AND d.rollout_id || ':' || d.site_id IS NOT j.value->>11
    JOIN rollout ro ON ro.id = d.rollout_id AND ro.created_ms < r.restored_ms`
  return [
    {
      sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT ?, 'controller', 'deployment.skip', 'rollout/' || d.rollout_id, d.site_id, ?, '{}', ? ${left}`,
      args: [ctx.nowMs, why, ctx.requestId, rows, ctx.nowMs],
    },
    {
      sql: `UPDATE deployment SET state = 'skipped', why = ?, deadline_ms = NULL, ended_ms = ?, updated_ms = ? FROM (SELECT d.rollout_id, d.site_id ${left}) AS left_alone
            WHERE deployment.rollout_id = left_alone.rollout_id AND deployment.site_id = left_alone.site_id`,
      args: [why, ctx.nowMs, ctx.nowMs, rows, ctx.nowMs],
    },
  ]
}

/** Sealed with a key of this fleet, and no site here: it was enrolled after the backup. */
const strangerStatement = (rows: string): Statement => ({
  sql: `INSERT INTO restored_site (site_id, verdict, restored_ms, heard_running, heard_attempt, heard_trust)
        SELECT j.value->>0, 'stranger', e.value->>'restoredMs', j.value->>3, j.value->>5, j.value->>8 FROM json_each(?) AS j JOIN setting e ON e.key = '${epochKey}'
        WHERE NOT EXISTS (SELECT 1 FROM site s WHERE s.id = j.value->>0 AND s.incarnation >= j.value->>1)
        ON CONFLICT (site_id) DO UPDATE SET verdict = excluded.verdict, heard_ms = NULL, heard_running = excluded.heard_running, heard_attempt = excluded.heard_attempt, heard_trust = excluded.heard_trust`,
  args: [rows],
})
