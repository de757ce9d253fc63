import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import { is, sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import * as alarm from '../../db/schema/alarm.ts'
import * as fleet from '../../db/schema/fleet.ts'
import * as metric from '../../db/schema/metric.ts'
import * as operations from '../../db/schema/operations.ts'
import * as release from '../../db/schema/release.ts'
import * as rollout from '../../db/schema/rollout.ts'
import * as webhook from '../../db/schema/webhook.ts'
import { allFiles } from './sources.ts'

type Column = { name: string; type: string; notNull: boolean; key: boolean }

const tables = [alarm, fleet, metric, operations, release, rollout, webhook].flatMap((module): unknown[] => Object.values(module)).filter((value) => is(value, SQLiteTable))
/** Only migrations and statements of SQL know these. */
const withoutSchema = ['guard', 'migration']

function described(table: SQLiteTable): { name: string; columns: Column[] } {
  const { name, columns, primaryKeys } = getTableConfig(table)
  const keys = new Set(primaryKeys.flatMap((key) => key.columns.map((column) => column.name)))
  return { name, columns: columns.map((c) => ({ name: c.name, type: c.getSQLType().toUpperCase(), notNull: c.notNull || c.primary, key: c.primary || keys.has(c.name) })) }
}

test('the migrations make exactly the tables and columns that the schema describes', async () => {
  const db = await openDatabase(':memory:')
  try {
    await migrate(db)
    const names = await db.orm.all<{ name: string }>(sql`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
    const migrated = []
    for (const { name } of names.filter((each) => !withoutSchema.includes(each.name))) {
      const rows = await db.orm.all<{ name: string; type: string; notnull: number; pk: number }>(sql`SELECT name, type, "notnull", pk FROM pragma_table_info(${name})`)
      migrated.push({ name, columns: rows.map((row): Column => ({ name: row.name, type: row.type, notNull: row.notnull === 1 || row.pk > 0, key: row.pk > 0 })) })
    }
    const wanted = tables.map((table) => described(table as SQLiteTable)).sort((a, b) => (a.name < b.name ? -1 : 1))
    expect(migrated).toEqual(wanted)
  } finally {
    db.close()
  }
})

test('the schema of every file is compared', () => {
  expect(allFiles.filter((path) => path.startsWith('db/schema/'))).toEqual(['alarm', 'fleet', 'metric', 'operations', 'release', 'rollout', 'webhook'].map((name) => `db/schema/${name}.ts`))
})
