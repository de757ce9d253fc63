import { sql } from 'drizzle-orm'
import type { Database } from './client.ts'

/**
 * The names of the files in `migrations`, in their order: what is bundled for Workers cannot look into a directory. A
 * test compares the two.
 */
export const knownMigrations: readonly string[] = [
  '0001_fleet_releases_rollouts.sql',
  '0002_restores.sql',
  '0003_object_collection.sql',
  '0004_agents_first.sql',
  '0005_bounded_reads.sql',
  '0006_alarm_life.sql',
  '0007_webhooks.sql',
  '0008_metrics.sql',
  '0009_monitoring_settings.sql',
  '0010_standing_reports.sql',
]

/**
 * A migration that takes something away says in its name since which version the functions do without it, such as
 * `0007_contract_since_0_4_0_drop_site_nodes.sql`. Null for all others, which only add.
 */
export function contractsSince(name: string): string | null {
  const [, version] = /^\d{4}_contract_since_(\d+_\d+_\d+)_[a-z_]+\.sql$/.exec(name) ?? []
  return version?.replaceAll('_', '.') ?? null
}

/** The migrations this database has, each with the digest of its text; none where it never had any. Reads as many rows as there are. */
export async function appliedMigrations(db: Pick<Database, 'orm'>): Promise<Map<string, string>> {
  const [made] = await db.orm.all<{ n: number }>(sql`SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table' AND name = 'migration'`)
  if (made!.n === 0) return new Map()
  const rows = await db.orm.all<{ name: string; digest: string }>(sql`SELECT name, digest FROM migration ORDER BY name LIMIT 10000`)
  return new Map(rows.map(({ name, digest }) => [name, digest]))
}

/**
 * What these functions need and this database lacks. One that has more is not behind: it belongs to newer functions, and older
 * ones work with it. One that still has what is to be taken away is not behind either.
 */
export const pendingMigrations = (applied: ReadonlyMap<string, string>): string[] => knownMigrations.filter((name) => !applied.has(name) && contractsSince(name) === null)
