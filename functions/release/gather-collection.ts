import { sql } from 'drizzle-orm'
import type { Guard } from '../../db/client.ts'
import type { ReleaseRow } from '../../db/schema/release.ts'
import type { Ctx } from '../context.ts'
import type { Candidate } from './judge-collection.ts'

/** Deployments that may still bring a site to or from their releases, whatever became of their rollout. */
const open = `d.state IN ('pending', 'parked', 'granted', 'running', 'unknown', 'needs-hands')`
const digestAt = (column: string): string => `${column}->>'digest'`
const ofSites = (digest: string, how: string): string => `SELECT ${digest} AS digest, '${how}' AS how, id AS example FROM site WHERE state <> 'removed' AND ${digest} IS NOT NULL`

/**
 * Every release that a site runs or could go back to or forward to, with how and an example. A return brings a site back to where
 * a rollout took it from only while it still runs what that rollout brought, so older steps of its way hold nothing.
 */
const inUse = [
  ofSites(digestAt('running'), 'runs at site'), ofSites(digestAt('previous'), 'ran before at site'), ofSites(digestAt('desired'), 'is desired at site'), ofSites('staged', 'is staged at site'),
  `SELECT release->>'digest', 'is the target of', id FROM rollout WHERE release IS NOT NULL AND (state IN ('scheduled', 'running', 'aborting') OR (state = 'completed' AND policy->>'joiners' = 'include'))`,
  `SELECT d.to_release->>'digest', 'is brought by', d.rollout_id FROM rollout r JOIN deployment d ON d.rollout_id = r.id WHERE ${open}`,
  `SELECT d.from_release->>'digest', 'is left by', d.rollout_id FROM rollout r JOIN deployment d ON d.rollout_id = r.id WHERE ${open}`,
  `SELECT d.from_release->>'digest', 'could be returned to from', d.rollout_id FROM rollout r JOIN deployment d ON d.rollout_id = r.id JOIN site s ON s.id = d.site_id
     WHERE (r.release IS NULL OR r.release->>'digest' IN (SELECT running->>'digest' FROM site)) AND d.attempt > 0 AND s.state <> 'removed' AND s.running->>'digest' = d.to_release->>'digest'`,
].join('\n UNION ALL ')

/** Sites of a database that came back from a backup, of which nobody knows yet what they run, or which objects what they run is made of. */
const unheard = `SELECT count(*) FROM restored_site r JOIN site s ON s.id = r.site_id
  WHERE s.state = 'enrolled' AND (r.heard_ms IS NULL OR (s.running IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release x WHERE x.digest = s.running->>'digest')))`

/** What was true when it was decided that these releases may go, and must still be when they do. */
export function stillUnused(rows: readonly ReleaseRow[]): Guard[] {
  const moved = `SELECT count(*) FROM json_each(?) AS j JOIN release r ON r.id = j.value->>0 AND r.version = j.value->>1 AND r.collected_ms IS NULL AND r.touched_ms IS j.value->>2`
  return [
    { sql: unheard, args: [], is: 0 },
    { sql: moved, args: [JSON.stringify(rows.map((row) => [row.id, row.version, row.touchedMs]))], is: rows.length },
    { sql: `SELECT count(*) FROM (${inUse}) WHERE digest IN (SELECT value FROM json_each(?))`, args: [JSON.stringify(rows.map((row) => row.digest))], is: 0 },
  ]
}

/**
 * What a decision about these releases needs. Reads every site's row once for each of four columns, the rollouts, their open
 * deployments, and those of rollouts that brought what some site still runs.
 */
export async function gatherCollection(ctx: Ctx, rows: readonly ReleaseRow[]): Promise<{ candidates: Candidate[]; unheardSites: number }> {
  const digests = JSON.stringify(rows.map((row) => row.digest))
  const names = JSON.stringify([...new Set(rows.map((row) => row.name))])
  const uses = await ctx.db.orm.all<{ digest: string; how: string; n: number; example: string }>(
    sql`SELECT digest, how, count(*) AS n, min(example) AS example FROM (${sql.raw(inUse)}) WHERE digest IN (SELECT value FROM json_each(${digests})) GROUP BY digest, how`)
  const rollouts = await ctx.db.orm.all<{ digest: string; lastMs: number }>(
    sql`SELECT release->>'digest' AS digest, max(coalesce(ended_ms, started_ms, created_ms)) AS lastMs FROM rollout WHERE release->>'digest' IN (SELECT value FROM json_each(${digests})) GROUP BY 1`)
  const newest = await ctx.db.orm.all<{ id: string }>(
    sql`SELECT id FROM release r WHERE name IN (SELECT value FROM json_each(${names})) AND state = 'available'
        AND NOT EXISTS (SELECT 1 FROM release o WHERE o.name = r.name AND o.state = 'available' AND (o.available_ms, o.created_ms, o.id) > (r.available_ms, r.created_ms, r.id))`)
  const [sites] = await ctx.db.orm.all<{ n: number }>(sql`SELECT (${sql.raw(unheard)}) AS n`)
  return {
    unheardSites: sites!.n,
    candidates: rows.map((row) => ({
      state: row.state, createdMs: row.createdMs, touchedMs: row.touchedMs, availableMs: row.availableMs, isNewest: newest.some(({ id }) => id === row.id),
      lastRolloutMs: rollouts.find(({ digest }) => digest === row.digest)?.lastMs ?? null,
      uses: uses.filter(({ digest }) => digest === row.digest),
    })),
  }
}
