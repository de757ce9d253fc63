import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compareVersions } from '../protocol/version.ts'
import type { Database } from './client.ts'
import { appliedMigrations, contractsSince } from './known-migrations.ts'
import { versionsAtWork, type VersionAtWork } from './versions-at-work.ts'

const directory = join(import.meta.dirname, 'migrations')
/** Functions that did scheduled work so lately may still answer requests. */
const retiredAfterMs = 3_600_000

export type Migration = { name: string; sql: string; digest: string }
/** `next` may be applied now, in this order; `held` wait, each for the reason given. */
export type MigrationPlan = { applied: string[]; next: Migration[]; held: { name: string; because: string }[] }

/** The committed migrations in the order of their numbers. */
export function readMigrations(): Migration[] {
  const names = readdirSync(directory).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return names.map((name) => {
    const text = readFileSync(join(directory, name), 'utf8')
    return { name, sql: text, digest: createHash('sha256').update(text).digest('hex') }
  })
}

/**
 * Compares a database with the committed migrations, and changes nothing. One that takes something away is held while
 * functions that may still need it were at work lately. Throws for a database whose applied migrations differ from ours.
 */
export async function planMigrations(db: Database, nowMs: number, migrations: readonly Migration[] = readMigrations()): Promise<MigrationPlan> {
  const applied = await appliedMigrations(db)
  const changed = migrations.find(({ name, digest }) => applied.has(name) && applied.get(name) !== digest)
  if (changed !== undefined) throw new Error(`migration ${changed.name} was changed after it was applied; add a new one instead`)
  const plan: MigrationPlan = { applied: [...applied.keys()], next: [], held: [] }
  const lacking = migrations.filter(({ name }) => !applied.has(name))
  const contracts = applied.size > 0 && lacking.some(({ name }) => contractsSince(name) !== null)
  const lately = contracts ? (await versionsAtWork(db)).filter(({ atMs }) => atMs > nowMs - retiredAfterMs) : []
  for (const migration of lacking) {
    const because = hindranceOf(migration.name, lately)
    if (because === null) plan.next.push(migration)
    else plan.held.push({ name: migration.name, because })
  }
  return plan
}

/** Why this migration has to wait, or null: old functions would look for what it takes away. */
function hindranceOf(name: string, lately: readonly VersionAtWork[]): string | null {
  const since = contractsSince(name)
  const older = since === null ? undefined : lately.find(({ version }) => compareVersions(version, since) < 0)
  if (older === undefined) return null
  return `functions ${older.version} were at work at ${new Date(older.atMs).toISOString()} and may need what it takes away; those since ${since} do without it`
}

/**
 * Applies the migrations that this database lacks and that are not held, each in one transaction with the note that it was
 * applied, so that a kill half-way leaves it as it was (F57). Returns the names applied now. A database that lacks nothing is only read.
 */
export async function migrate(db: Database, nowMs: number = Date.now(), migrations: readonly Migration[] = readMigrations()): Promise<string[]> {
  const { next } = await planMigrations(db, nowMs, migrations)
  if (next.length > 0) await db.script('CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, digest TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT')
  for (const migration of next) {
    try {
      await runWhole(db, migrationText(migration))
    } catch (error) {
      // another process may have applied it meanwhile, or the answer to our own was lost (F52)
      if ((await appliedMigrations(db)).get(migration.name) === migration.digest) continue
      throw new Error(`migration ${migration.name} failed and was undone`, { cause: error })
    }
  }
  return next.map(({ name }) => name)
}

/** A migration, and the note that it was applied: to be run in one transaction. */
export const migrationText = ({ name, sql, digest }: Migration): string =>
  `${sql}\nINSERT INTO migration (name, digest, applied_at) VALUES ('${name}', '${digest}', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'));\n`

/** Runs several statements of one text in one transaction: all of them, or none. */
export async function runWhole(db: Database, text: string): Promise<void> {
  try {
    await db.script(`BEGIN IMMEDIATE;\n${text}\nCOMMIT;`)
  } catch (error) {
    await db.script('ROLLBACK').catch(() => undefined)
    throw error
  }
}
