import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'
import { openDatabase } from '../../db/client.ts'
import { findDatabaseFault } from '../../db/database-fault.ts'
import { migrate, planMigrations, type MigrationPlan } from '../../db/migrate.ts'
import { nodeSettings } from '../../functions/platform/env.ts'
import { EnvironmentError, parseEnvironment } from '../../functions/platform/parse-environment.ts'

const names = ['MURMUR_DATA', 'MURMUR_DATABASE_URL', 'MURMUR_DATABASE_TOKEN'] as const
const { MURMUR_DATA, MURMUR_DATABASE_URL, MURMUR_DATABASE_TOKEN } = nodeSettings

/**
 * `node infra/launch.mjs infra/migrate/main.ts [--apply] [--json]`: what a database has and lacks, and with `--apply` brings it up to
 * date, as a step before functions of a new version are deployed. Exit status 4 when something is held back, 6 when the database does not answer.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { apply: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } })
  const settings = parseEnvironment({ MURMUR_DATA, MURMUR_DATABASE_URL, MURMUR_DATABASE_TOKEN }, Object.fromEntries(names.map((name) => [name, process.env[name]])))
  const url = settings.MURMUR_DATABASE_URL ?? pathToFileURL(join(settings.MURMUR_DATA, 'controller.db')).href
  const db = await openDatabase(url, settings.MURMUR_DATABASE_TOKEN)
  try {
    const plan = await planMigrations(db, Date.now())
    const done = values.apply ? await migrate(db) : []
    const { applied, held } = plan
    const pending = plan.next.map(({ name }) => name).filter((name) => !done.includes(name))
    console.log(values.json ? JSON.stringify({ applied: [...applied, ...done], pending, held }, null, 2) : planText(plan, done, pending))
    if (held.length > 0) process.exitCode = 4
  } finally {
    db.close()
  }
}

function planText({ applied, held }: MigrationPlan, done: readonly string[], pending: readonly string[]): string {
  const lines = [
    ...applied.map((name) => `  has       ${name}`),
    ...done.map((name) => `  applied   ${name}`),
    ...pending.map((name) => `  lacks     ${name}`),
    ...held.map(({ name, because }) => `  held      ${name}: ${because}`),
  ]
  if (pending.length > 0) lines.push(`${pending.length} to be applied: run it again with --apply, before functions of this version are deployed`)
  else lines.push(held.length > 0 ? 'Up to date, but for what is held back.' : 'Up to date.')
  return lines.join('\n')
}

/** What was first to go wrong says most. */
const rootOf = (error: Error): string => (error.cause instanceof Error ? rootOf(error.cause) : error.message)

main().catch((error: unknown) => {
  const fault = findDatabaseFault(error)
  console.error(fault !== null ? `${fault.message}: ${rootOf(fault)}` : error instanceof Error ? error.message : error)
  process.exit(fault !== null ? 6 : error instanceof EnvironmentError ? 2 : 1)
})
