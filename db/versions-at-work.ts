import { sql } from 'drizzle-orm'
import type { Database, Statement } from './client.ts'

/** Which versions of the functions did scheduled work, and when each last said so. */
export type VersionAtWork = { version: string; atMs: number }

const key = 'jobs'
/** How often one version notes that it is at work: silence stays nearly free. */
export const noteEveryMs = 10 * 60_000
const forgottenAfterMs = 7 * 24 * 3_600_000

/** Versions of the last week, the newest sign of work first. Reads one row. */
export async function versionsAtWork(db: Pick<Database, 'orm'>): Promise<VersionAtWork[]> {
  return db.orm.all<VersionAtWork>(sql`SELECT j.key AS version, j.value AS atMs FROM setting, json_each(setting.value) AS j WHERE setting.key = ${key} ORDER BY j.value DESC`)
}

/** Notes that a version is at work, unless it did so a moment ago; one row at most. Versions long gone are forgotten. */
export const noteAtWork = (version: string, nowMs: number): Statement => ({
  sql: `INSERT INTO setting (key, value) VALUES (?1, json_object(?2, ?3)) ON CONFLICT (key) DO UPDATE SET value =
          (SELECT json_group_object(seen.version, seen.at_ms) FROM (SELECT key AS version, value AS at_ms FROM json_each(setting.value) WHERE key <> ?2 AND value > ?4 UNION ALL SELECT ?2, ?3) AS seen)
        WHERE NOT EXISTS (SELECT 1 FROM json_each(setting.value) WHERE key = ?2 AND value > ?5)`,
  args: [key, version, nowMs, nowMs - forgottenAfterMs, nowMs - noteEveryMs],
})
