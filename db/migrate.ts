import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from './client.ts'
import { sql } from 'drizzle-orm'

const directory = join(import.meta.dirname, 'migrations')

/** The committed migrations in the order of their numbers. */
export function readMigrations(): { name: string; sql: string; digest: string }[] {
  const names = readdirSync(directory).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return names.map((name) => {
    const text = readFileSync(join(directory, name), 'utf8')
    return { name, sql: text, digest: createHash('sha256').update(text).digest('hex') }
  })
}

/**
 * Applies the migrations that this database lacks, each in one transaction with the note that it was applied, so that a
 * kill half-way leaves it as it was. Returns the names applied now. Refuses a database whose applied migrations differ from ours.
 */
export async function migrate(db: Database): Promise<string[]> {
  await db.script('CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, digest TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT')
  const rows = await db.orm.all<{ name: string; digest: string }>(sql`SELECT name, digest FROM migration`)
  const known = new Map(rows.map((row) => [row.name, row.digest]))
  const applied: string[] = []
  for (const migration of readMigrations()) {
    const digest = known.get(migration.name)
    if (digest === migration.digest) continue
    if (digest !== undefined) throw new Error(`migration ${migration.name} was changed after it was applied; add a new one instead`)
    const note = `INSERT INTO migration (name, digest, applied_at) VALUES ('${migration.name}', '${migration.digest}', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))`
    try {
      await db.script(`BEGIN IMMEDIATE;\n${migration.sql}\n${note};\nCOMMIT;`)
    } catch (error) {
      await db.script('ROLLBACK').catch(() => undefined)
      throw new Error(`migration ${migration.name} failed and was undone`, { cause: error })
    }
    applied.push(migration.name)
  }
  return applied
}
