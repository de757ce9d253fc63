import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase, type Database } from '../../db/client.ts'
import { migrate, planMigrations, readMigrations, type Migration } from '../../db/migrate.ts'
import { noteAtWork, versionsAtWork } from '../../db/versions-at-work.ts'
import { createJobs } from '../../functions/jobs.ts'
import { startController } from '../support/controller.ts'

const hour = 3_600_000
const nowMs = Date.UTC(2026, 5, 1, 12)
const made = (name: string, text: string): Migration => ({ name, sql: text, digest: `digest of ${text}` })
const first = made('0001_first.sql', 'CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT; CREATE TABLE a (b TEXT, c TEXT) STRICT;')
const contract = made('0002_contract_since_0_4_0_drop_c.sql', 'ALTER TABLE a DROP COLUMN c;')
const third = made('0003_more.sql', 'ALTER TABLE a ADD COLUMN d TEXT;')
const fourth = made('0004_yet_more.sql', 'ALTER TABLE a ADD COLUMN e TEXT;')
const all = [first, contract, third]
const namesOf = (migrations: readonly Migration[]) => migrations.map(({ name }) => name)

let db: Database
beforeEach(async () => void (db = await openDatabase(':memory:')))
afterEach(() => db.close())

describe('migrations', () => {
  test('are all applied to a new database, and looking at them changes nothing', async () => {
    expect(namesOf((await planMigrations(db, nowMs, all)).next)).toEqual(namesOf(all))
    expect(await db.orm.all(sql`SELECT name FROM sqlite_schema`)).toEqual([])
    expect(await migrate(db, nowMs, all)).toEqual(namesOf(all))
    expect(await migrate(db, nowMs, all)).toEqual([])
  })

  test('that take something away wait while functions that may need it were at work lately, and the others do not wait for them (F57)', async () => {
    await migrate(db, nowMs, [first])
    await db.write([noteAtWork('0.4.0', nowMs), noteAtWork('0.3.9', nowMs - hour / 2)])
    const { held, next } = await planMigrations(db, nowMs, all)
    expect(namesOf(next)).toEqual([third.name])
    expect(held).toEqual([{ name: contract.name, because: expect.stringMatching(/0\.3\.9 were at work .* since 0\.4\.0/) }])
    expect(await migrate(db, nowMs, all)).toEqual([third.name])
    expect(await migrate(db, nowMs + hour, all)).toEqual([contract.name])
  })

  test('that were changed after they were applied are refused', async () => {
    await migrate(db, nowMs, [first])
    await expect(migrate(db, nowMs, [{ ...first, digest: 'other' }])).rejects.toThrow(/0001_first\.sql was changed/)
  })

  test('that another process applies at the same moment, or whose answer is lost, are applied once and are no failure (F52, F57)', async () => {
    const raced: Database = { ...db, script: async (text) => {
      await db.script(text)
      if (text.includes('COMMIT')) throw new Error('the connection was cut')
    } }
    await migrate(raced, nowMs, all)
    expect((await planMigrations(db, nowMs, all)).applied).toEqual(namesOf(all))
    const late: Database = { ...db, script: async (text) => {
      await migrate(db, nowMs, [...all, fourth])
      return db.script(text)
    } }
    await migrate(late, nowMs, [...all, fourth])
    expect((await planMigrations(db, nowMs, [...all, fourth])).applied).toEqual(namesOf([...all, fourth]))
  })

  test('that fail leave the database as it was, and say which one it was', async () => {
    const broken = made('0002_broken.sql', 'CREATE TABLE e (f TEXT) STRICT; CREATE TABLE e (f TEXT) STRICT;')
    await expect(migrate(db, nowMs, [first, broken])).rejects.toThrow(/0002_broken\.sql failed and was undone/)
    expect(await db.orm.all(sql`SELECT name FROM sqlite_schema WHERE name = 'e'`)).toEqual([])
    expect((await planMigrations(db, nowMs, [first, broken])).applied).toEqual([first.name])
  })
})

describe('the sign that scheduled work runs', () => {
  test('is written once in ten minutes by each version, however many write it', async () => {
    await migrate(db, nowMs, [first])
    for (const atMs of [nowMs, nowMs + 60_000, nowMs + 5 * 60_000]) await db.write([noteAtWork('0.2.0', atMs)])
    await db.write([noteAtWork('0.1.0', nowMs + 60_000)])
    expect(await versionsAtWork(db)).toEqual([{ version: '0.1.0', atMs: nowMs + 60_000 }, { version: '0.2.0', atMs: nowMs }])
    await db.write([noteAtWork('0.2.0', nowMs + 8 * 24 * hour)])
    expect(await versionsAtWork(db)).toEqual([{ version: '0.2.0', atMs: nowMs + 8 * 24 * hour }])
  })

  test('is a job like the others', async () => {
    const controller = await startController()
    const job = createJobs(controller.deps).find(({ name }) => name === 'note-at-work')!
    await job.run()
    controller.clock.advance(60_000)
    await job.run()
    expect(await versionsAtWork(controller.db)).toEqual([{ version: '0.0.0-test', atMs: controller.clock.nowMs() - 60_000 }])
    controller.close()
  })
})

test('a controller whose database is behind says so and is not ready; one whose database is ahead goes on', async () => {
  const controller = await startController()
  await controller.db.script("INSERT INTO migration VALUES ('9999_of_tomorrow.sql', 'x', 'now')")
  expect((await controller.call('ready', { as: null })).status).toBe(200)
  await controller.db.script("DELETE FROM migration WHERE name LIKE '0001%'")
  const { status, body } = await controller.call('ready', { as: null })
  expect([status, body.reason]).toEqual([503, 'migrations-pending'])
  expect(body.detail).toMatch(/0001_.*murmur infra migrate --apply/)
  controller.close()
})

test('a fleet that functions of before alarms had a life have filled has its numbers, and its alarms go on with theirs (F57)', async () => {
  const migrations = readMigrations()
  await migrate(db, nowMs, migrations.filter(({ name }) => name < '0006'))
  const rows = async (text: string) => (await db.write([{ sql: text, args: [] }]))[0]!.rows.map((row) => ({ ...row }))
  const addSite = (id: string, state: string, presence: string) => db.write([{
    sql: `INSERT INTO site (id, labels, time_zone, windows, freezes, state, version, created_ms, incarnation, presence, hello_seq, running_seq, nodes, inventory, inventory_seq, epoch, generation, desired_epoch, desired_generation)
          VALUES (?, '{}', 'UTC', '[]', '[]', ?, 1, 0, 1, ?, 0, 0, '[]', '{}', 0, 1, 0, 0, 0)`,
    args: [id, state, presence],
  }])
  const addAlarm = (site: string, entity: string, severity: string, clearedMs: number | null) => db.write([{
    sql: `INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq) VALUES (?, '200.001', ?, ?, 'x', 0, 5, ?, 3)`, args: [site, entity, severity, clearedMs],
  }])
  for (const [id, state, presence] of [['a', 'enrolled', 'online'], ['b', 'enrolled', 'online'], ['c', 'enrolled', 'offline'], ['d', 'claimed', 'unknown'], ['e', 'removed', 'offline']] as const) await addSite(id, state, presence)
  await addAlarm('a', 'x', 'major', null)
  await addAlarm('a', 'y', 'critical', null)
  await addAlarm('b', 'x', 'major', 7)
  await migrate(db, nowMs, migrations)
  // functions of before work on: they know none of the new columns
  await addSite('f', 'claimed', 'unknown')
  await addAlarm('c', 'x', 'major', null)
  await db.write([
    { sql: `UPDATE site SET presence = 'offline' WHERE id = 'a'`, args: [] }, { sql: `UPDATE alarm SET cleared_ms = 9 WHERE site_id = 'a' AND entity = 'y'`, args: [] },
    { sql: `UPDATE alarm SET severity = 'critical' WHERE site_id = 'a' AND entity = 'x'`, args: [] },
  ])
  const at = await rows('SELECT kind, key, n FROM tally WHERE n <> 0 ORDER BY kind, key')
  expect(at.map(({ kind, key, n }) => `${kind} ${key} ${n}`)).toEqual(['alarm critical/active 1', 'alarm major/active 1', 'site claimed 2', 'site offline 2', 'site online 1', 'site removed 1'])
  expect((await rows('SELECT site_id, entity, change, severity FROM alarm_event ORDER BY seq')).map((row) => Object.values(row).join(' '))).toEqual(['c x raised major', 'a y cleared critical', 'a x changed critical'])
})
