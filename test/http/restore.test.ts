import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { migrate, readMigrations } from '../../db/migrate.ts'
import { openSnapshot } from '../../db/open-snapshot.ts'
import { createJobs } from '../../functions/jobs.ts'
import { loadEpoch, nextIncarnation } from '../../functions/restore/epoch.ts'
import { listDifferences } from '../../functions/restore/list.ts'
import { explainSite } from '../../functions/rollout/explain.ts'
import { resumeRollout } from '../../functions/rollout/resume.ts'
import { retryRollout } from '../../functions/rollout/retry.ts'
import { rollbackRollout } from '../../functions/rollout/rollback.ts'
import { removeSite } from '../../functions/site/remove.ts'
import { verifyAudit } from '../../functions/audit/verify.ts'
import { sealAudit } from '../../functions/audit/seal.ts'
import { readCatalogue, readIndex, writeJson } from '../../infra/backup/catalogue.ts'
import { sha256Of } from '../../infra/backup/piece.ts'
import { takeBackup } from '../../infra/backup/take-backup.ts'
import { verifyBackup } from '../../infra/backup/verify-backup.ts'
import { backupKeys, type BackupEntry } from '../../protocol/backup.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { FleetId } from '../../protocol/ids.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import { compareVersions } from '../../protocol/version.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, addSites, enrolSites, look, operator, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import { PracticeSite } from '../support/practice-site.ts'
import { announce, makeRelease, putObjects } from '../support/release.ts'
import { backUp, hearAgain, restoreInto, takeOver } from '../support/restored-controller.ts'

const everyone = { all: true } as const
const oneWave = (maxParallel: number) => ({ waves: [{ name: 'all', size: 'rest' as const }], maxParallel })
const hourMs = 3_600_000

let directory: string
let before: Controller
const urlOf = (name: string): string => pathToFileURL(join(directory, name)).href
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'murmur-restore-'))
  before = await startController({ databaseUrl: urlOf('first.db') })
})
afterEach(async () => {
  before.close()
  await rm(directory, { recursive: true, force: true })
})

/** SPEC I12: what triggers counted while the rows were loaded is what is there. */
async function expectCountersToBeRight(controller: Controller): Promise<void> {
  const counted = await controller.db.orm.all(sql`SELECT rollout_id, wave, grp, state, n FROM counter WHERE n <> 0 ORDER BY 1, 2, 3, 4`)
  expect(counted).toEqual(await controller.db.orm.all(sql`SELECT rollout_id, wave, grp, state, count(*) AS n FROM deployment GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`))
}

const stateOf = async (controller: Controller, rollout: string) =>
  Object.fromEntries((await controller.db.orm.all<{ site_id: string; state: string; attempt: number }>(sql`SELECT site_id, state, attempt FROM deployment WHERE rollout_id = ${rollout}`)).map((d) => [d.site_id, `${d.state} ${d.attempt}`]))
const differences = (controller: Controller, query: { verdict?: 'as-in-backup'; limit?: number } = {}) => listDifferences(controller.context(), { limit: 50, ...query })

/** Everything the schedule does, over and over, while sites take what they are granted. */
async function live(controller: Controller, fleet: ReadonlyMap<string, PracticeSite>, rounds = 5): Promise<string[]> {
  const acted: string[] = []
  for (let round = 0; round < rounds; round++) {
    for (const job of createJobs(controller.deps)) await job.run()
    acted.push(...(await runFleet(controller, fleet)))
    controller.clock.advance(61_000)
  }
  return acted
}

describe('the drill: a controller rebuilt from an hour-old backup while its sites moved on (I17, F58)', () => {
  let fleet: Map<string, PracticeSite>
  let half: string
  let entry: BackupEntry
  let after: Controller
  const names = Array.from({ length: 10 }, (_, i) => `s${i}`)
  const site = (id: string): PracticeSite => fleet.get(id)!

  beforeEach(async () => {
    fleet = await enrolSites(before, names.map((id) => ({ id })))
    const one = await addRelease(before, '1.0.0')
    await startRollout(before, { name: 'one', target: { release: one.id }, selector: everyone, policy: oneWave(100) })
    await runFleet(before, fleet)
    // half-way: s0 and s1 have it, two more are at it
    const next = await addRelease(before, '1.0.5')
    half = (await startRollout(before, { name: 'half', target: { release: next.id }, selector: everyone, policy: { ...oneWave(2), failureThreshold: { value: 5 } } })).id
    const order = await before.db.orm.all<{ site_id: string }>(sql`SELECT site_id FROM deployment WHERE rollout_id = ${half} ORDER BY place`)
    const [a, b, c, d] = order.map(({ site_id }) => fleet.get(site_id)!)
    for (const each of [a!, b!]) await each.comply()
    for (const each of [c!, d!]) {
      await each.takeGrant()
      await each.reportStart()
    }
    fleet = new Map(order.map(({ site_id }, i) => [`s${i}`, fleet.get(site_id)!]))
    await sealAudit(before.context())
    before.clock.advance(1000)
    entry = await backUp(before, urlOf('first.db'))
  })

  /** The hour that the backup does not know. s2 to s4 go on, s5 fails, s6 gets 1.1, s7 goes there and comes back, s8 is left alone, s9 is removed; s10 is new. */
  async function lostHour(): Promise<void> {
    before.clock.advance(hourMs / 2)
    await site('s2').end('succeeded')
    await site('s3').end('failed')
    await before.call('pauseRollout', { params: { rollout: half }, body: { reason: '' } })
    for (const id of ['s4', 's5']) {
      expect(await site(id).comply(() => (id === 's5' ? 'rolled-back' : 'succeeded'))).toBe(true)
    }
    const late = await addRelease(before, '1.1.0')
    const only = (ids: string[]) => ({ sites: ids.map((id) => site(id).id) })
    await startRollout(before, { name: 'late', target: { release: late.id }, selector: only(['s6']), policy: { ...oneWave(9), priority: 500 } })
    await runFleet(before, new Map([['s6', site('s6')]]))
    const there = await startRollout(before, { name: 'there', target: { release: late.id }, selector: only(['s7']), policy: { ...oneWave(9), priority: 500 } })
    await runFleet(before, new Map([['s7', site('s7')]]))
    await rollbackRollout(operator(before), there.id, { reason: 'and back', ifMatch: null })
    await tick(before)
    await runFleet(before, new Map([['s7', site('s7')]]))
    await removeSite(operator(before), site('s9').id, { ifMatch: null })
    const [stranger] = (await enrolSites(before, [{ id: 'newcomer' }])).values()
    fleet.set('s10', stranger!)
    await before.call('revokeToken', { params: { token: (await before.db.orm.all<{ id: string }>(sql`SELECT id FROM token WHERE role = 'publisher'`))[0]!.id } })
    before.clock.advance(hourMs / 2)
    const ran = Object.fromEntries([...fleet].map(([id, each]) => [id, each.running?.id]))
    expect(ran).toEqual({ s0: 'app@1.0.5', s1: 'app@1.0.5', s2: 'app@1.0.5', s3: 'app@1.0.0', s4: 'app@1.0.5', s5: 'app@1.0.0', s6: 'app@1.1.0', s7: 'app@1.0.0', s8: 'app@1.0.0', s9: 'app@1.0.0', s10: undefined })
  }

  async function restore(): Promise<void> {
    expect(await restoreInto(before, urlOf('second.db'), entry.name)).toMatchObject({ epoch: 2, releasesLacking: [] })
    after = await takeOver(before, urlOf('second.db'))
    fleet = new Map([...fleet].map(([id, each]) => [id, hearAgain(each, after)]))
    before.clock.advance(60_000)
  }
  afterEach(() => after?.close())

  test('no site goes back, none makes an attempt again, differences are listed, and the next release reaches them all', async () => {
    await lostHour()
    await restore()
    expect(JSON.parse(fromUtf8((await before.store.get(storeKeys.epoch(), 100))!))).toEqual({ v: 1, epoch: 2 })
    const asked = before.broker.messages.length
    expect((await look(after, half)).pauses.map(({ reason }) => reason)).toContain('restored')
    for (const job of createJobs(after.deps)) await job.run()
    expect(before.broker.messages.slice(asked).every(({ topic }) => topic.endsWith('/command'))).toBe(true)
    expect((await explainSite(after.context(), site('s8').id)).rollouts[0]?.blockers[0]).toMatchObject({ code: 'paused', text: expect.stringContaining('restored') })

    // everybody says hello, and nothing moves however long nobody does anything
    const ran = new Map([...fleet].map(([id, each]) => [id, each.running?.id]))
    const attempts = new Map([...fleet].map(([id, each]) => [id, JSON.stringify(each.attempt)]))
    for (const each of fleet.values()) await each.connect()
    expect(await live(after, fleet)).toEqual([])
    for (const each of fleet.values()) await each.connect()
    expect(await live(after, fleet)).toEqual([])
    const byId = (state: Record<string, string>) => Object.fromEntries([...fleet].flatMap(([id, each]) => (state[each.id] === undefined ? [] : [[id, state[each.id]]])))
    expect(byId(await stateOf(after, half))).toEqual({
      s0: 'succeeded 1', s1: 'succeeded 1', s2: 'succeeded 1', s3: 'failed 1', s4: 'succeeded 1', s5: 'rolled-back 1', s6: 'skipped 0', s7: 'skipped 0', s8: 'pending 0', s9: 'pending 0',
    })
    await expectCountersToBeRight(after)

    // the operator resumes what the backup has: only the untouched go on
    await resumeRollout(operator(after), half, { reason: '', ifMatch: null })
    await tick(after)
    const acted = await live(after, fleet)
    expect(new Set(acted)).toEqual(new Set([site('s8').id, site('s9').id]))
    for (const [id, each] of fleet) if (!acted.includes(each.id)) expect([id, each.running?.id, JSON.stringify(each.attempt)]).toEqual([id, ran.get(id), attempts.get(id)])
    for (const [id, each] of fleet) if (ran.get(id) !== undefined) expect(compareVersions(each.running!.id.split('@')[1]!, ran.get(id)!.split('@')[1]!)).toBeGreaterThanOrEqual(0)

    // and then a new release reaches every site that is known
    const last = await addRelease(after, '1.2.0')
    const { id } = await startRollout(after, { name: 'last', target: { release: last.id }, selector: everyone, policy: oneWave(100) })
    await live(after, fleet)
    expect((await look(after, id)).counts).toEqual({ succeeded: 10 })
    for (const name of names) expect(site(name).running?.id).toBe('app@1.2.0')
    expect((await site('s0').directives('grant')).at(-1)?.position.epoch).toBe(2)
  })

  test('lists per site what the backup said and what the site says, and a site nobody here knows', async () => {
    await lostHour()
    await restore()
    expect((await differences(after)).items.map(({ verdict }) => verdict)).toEqual(Array.from({ length: 10 }, () => 'not-heard-yet'))
    for (const each of fleet.values()) await each.connect()
    const { restore: restored, items } = await differences(after)
    expect(restored).toMatchObject({ backup: entry.name, epoch: 2 })
    const verdicts = Object.fromEntries([...fleet].map(([id, each]) => [id, items.find((item) => item.site === each.id)?.verdict ?? 'same']))
    expect(verdicts).toEqual({ s0: 'same', s1: 'same', s2: 'went-on', s3: 'same', s4: 'moved-on', s5: 'moved-on', s6: 'moved-on', s7: 'moved-on', s8: 'same', s9: 'same', s10: 'stranger' })
    const of = (id: string) => items.find((item) => item.site === site(id).id)
    expect(of('s6')).toMatchObject({ backup: { running: { id: 'app@1.0.0' } }, heard: { running: { id: 'app@1.1.0' }, releaseKnown: false }, why: expect.stringContaining('app@1.1.0 is not known here: murmur restore releases') })
    expect(of('s10')).toMatchObject({ backup: null, why: expect.stringContaining('make a claim') })
    // publishing it again makes it whole
    await addRelease(after, '1.1.0')
    expect((await differences(after)).items.find((item) => item.site === site('s6').id)).toMatchObject({ heard: { releaseKnown: true } })
    expect((await differences(after, { verdict: 'as-in-backup', limit: 2 }))).toMatchObject({ items: [{}, {}], next: expect.any(String) })
  })

  test('a delayed hello of the lost hour does not hide what the site says later', async () => {
    const delayed = await site('s6').message(site('s6').helloBody())
    await lostHour()
    await restore()
    await receiveReports(after.context(), [delayed])
    expect((await stateOf(after, half))[site('s6').id]).toBe('pending 0')
    await site('s6').connect()
    expect((await stateOf(after, half))[site('s6').id]).toBe('skipped 0')
  })

  test('a site that is still at an attempt of the lost hour takes its place again, and what a person retries is not skipped twice', async () => {
    before.clock.advance(hourMs)
    await site('s2').end('succeeded')
    await site('s3').end('succeeded')
    await site('s4').takeGrant()
    await site('s5').takeGrant()
    await restore()
    for (const id of ['s4', 's5']) await site(id).connect()
    const states = await stateOf(after, half)
    expect([states[site('s4').id], states[site('s5').id]]).toEqual(['running 1', 'running 1'])
    await resumeRollout(operator(after), half, { reason: '', ifMatch: null })
    for (const id of ['s6', 's7', 's8']) await site(id).connect()
    expect((await look(after, half)).counts).toMatchObject({ running: 2 })
    expect((await look(after, half)).counts).not.toHaveProperty('granted')
    // I7: its end makes room for the next, and for one only
    await site('s4').end('succeeded')
    expect((await look(after, half)).counts).toMatchObject({ running: 1, granted: 1 })
    await expectCountersToBeRight(after)
  })

  test('a person may take a site that has moved on where the backup wanted it', async () => {
    await lostHour()
    await restore()
    for (const each of fleet.values()) await each.connect()
    await resumeRollout(operator(after), half, { reason: '', ifMatch: null })
    const { id } = site('s7')
    await retryRollout(operator(after), half, { sites: [id], reason: 'it is wanted there', ifMatch: null })
    await site('s7').connect()
    await live(after, fleet)
    expect(site('s7').running?.id).toBe('app@1.0.5')
  })

  test('what was enrolled after the backup stays fenced when its name is enrolled again (F31)', async () => {
    await lostHour()
    await restore()
    expect(nextIncarnation(1, await loadEpoch(after.context()))).toBe(2001)
    expect(nextIncarnation(2001, await loadEpoch(after.context()))).toBe(2002)
    expect(nextIncarnation(0, null)).toBe(1)
  })

  test('claims of the backup are void, idempotency keys and directives are gone, and the trail says so and is whole (F74)', async () => {
    await before.call('createRollout', { as: 'operator', headers: { 'idempotency-key': 'once' }, body: RolloutRequest.parse({ name: 'x', target: { release: 'app@1.0.5' }, selector: everyone }) })
    const { body } = await before.call('createSite', { body: { id: 'open-claim' } })
    expect(body.claim.claim).toMatch(/^mc_/)
    before.clock.advance(1000)
    entry = await backUp(before, urlOf('first.db'))
    await restore()
    const [row] = await after.db.orm.all(sql`SELECT (SELECT count(*) FROM idempotency) AS keys, (SELECT count(*) FROM site WHERE claim_hash IS NOT NULL) AS claims, (SELECT count(*) FROM directive WHERE slot NOT LIKE 'command/%') AS directives,
      (SELECT count(*) FROM site WHERE desired IS NOT NULL) AS desired, (SELECT count(*) FROM site WHERE presence <> 'unknown') AS known, (SELECT count(*) FROM deployment WHERE state IN ('granted', 'running')) AS flying,
      (SELECT count(*) FROM rollout WHERE state IN ('scheduled', 'running') AND pauses NOT LIKE '%restored%') AS unpaused`)
    expect(row).toEqual({ keys: 0, claims: 0, directives: 0, desired: 0, known: 0, flying: 0, unpaused: 0 })
    const [last] = await after.db.orm.all<{ action: string; entity: string }>(sql`SELECT action, entity FROM audit ORDER BY seq DESC LIMIT 1`)
    expect(last).toEqual({ action: 'controller.restored', entity: `backup/${entry.name}` })
    await sealAudit(after.context())
    expect(await verifyAudit(after.context())).toMatchObject({ ok: true })
    await expectCountersToBeRight(after)
  })

  test('restoring twice raises the epoch twice, also from the same backup', async () => {
    await restore()
    expect(await restoreInto(before, urlOf('third.db'), entry.name)).toMatchObject({ epoch: 3 })
  })
})

describe('a backup', () => {
  test('is what the database was at one moment, while others write', async () => {
    await enrolSites(before, Array.from({ length: 1203 }, (_, i) => ({ id: `s${i}`, offline: true })))
    const taking = backUp(before, urlOf('first.db'))
    await enrolSites(before, [{ id: 'later', offline: true }])
    const { index } = await readIndex(before.store, (await taking).name)
    const sites = index.tables.find(({ name }) => name === 'site')!
    expect([1203, 1204]).toContain(sites.rows)
    expect(sites.pieces.reduce((sum, { rows }) => sum + rows, 0)).toBe(sites.rows)
    expect(index.tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['alarm', 'audit', 'deployment', 'release', 'release_object', 'rollout', 'setting', 'site', 'token', 'wave']))
    expect(await verifyBackup(before.store, (await taking).name, index)).toEqual([])
  })

  test('that is damaged or incomplete is found by its digests', async () => {
    await enrolSites(before, [{ id: 'a', offline: true }])
    const { name } = await backUp(before, urlOf('first.db'))
    const { index } = await readIndex(before.store, name)
    const piece = index.tables.find((table) => table.name === 'site')!.pieces[0]!
    const other = utf8('something else')
    await before.store.put(backupKeys.piece(name, piece.number), other, sha256Of(other))
    const token = index.tables.find((table) => table.name === 'token')!.pieces[0]!
    await before.store.remove([backupKeys.piece(name, token.number)])
    expect(await verifyBackup(before.store, name, index)).toEqual([`${backupKeys.piece(name, piece.number)} is not what was written: its SHA-256 is another`, `${backupKeys.piece(name, token.number)} is missing`])
    await expect(restoreInto(before, urlOf('second.db'), name)).rejects.toThrow(/SHA-256/)
  })

  test('of another fleet than the settings name is not made', async () => {
    const snapshot = await openSnapshot(urlOf('first.db'))
    await expect(takeBackup({ snapshot, store: before.store, fleet: 'another' as FleetId, version: '0', nowMs: 1, keep: null })).rejects.toThrow('the fleet practice, and MURMUR_FLEET says another')
    snapshot.close()
    expect(await before.store.head(backupKeys.catalogue())).toBeNull()
  })

  test('that was killed half-way does not exist, and the next removes what is left of it', async () => {
    await enrolSites(before, [{ id: 'a', offline: true }])
    const failing = { ...before, store: { ...before.store, put: async (key: string, bytes: Uint8Array, sha256: string) => {
      if (key.endsWith('000004.zst')) throw new Error('the power went')
      return before.store.put(key, bytes, sha256)
    } } }
    await expect(backUp(failing, urlOf('first.db'))).rejects.toThrow('the power went')
    const { backups, begun } = await readCatalogue(before.store)
    expect([backups.length, begun.length]).toEqual([0, 1])
    await expect(readIndex(before.store, begun[0]!)).rejects.toThrow(/never finished/)
    before.clock.advance(1000)
    await backUp(before, urlOf('first.db'))
    expect(await before.store.head(backupKeys.piece(begun[0]!, 1))).toBeNull()
    expect(await readCatalogue(before.store)).toMatchObject({ backups: [{}], begun: [] })
  })

  test('that is overtaken by another says so, and leaves the other whole', async () => {
    await enrolSites(before, [{ id: 'a', offline: true }])
    const first = await backUp(before, urlOf('first.db'))
    before.clock.advance(1000)
    let second: BackupEntry | null = null
    const slow = { ...before, store: { ...before.store, put: async (key: string, bytes: Uint8Array, sha256: string) => {
      await before.store.put(key, bytes, sha256)
      if (!key.endsWith('000002.zst') || second !== null) return
      before.clock.advance(1000)
      second = await backUp(before, urlOf('first.db'))
    } } }
    await expect(backUp(slow, urlOf('first.db'), 1)).rejects.toThrow(/another backup was begun/)
    const { backups } = await readCatalogue(before.store)
    expect(backups.map(({ name }) => name)).toEqual([first.name, second!.name])
    for (const { name } of backups) expect(await verifyBackup(before.store, name, (await readIndex(before.store, name)).index)).toEqual([])
    before.clock.advance(1000)
    await backUp(before, urlOf('first.db'))
    expect(await readCatalogue(before.store)).toMatchObject({ backups: [{}, {}, {}], begun: [] })
  })

  test('makes the oldest go beyond the number that is kept', async () => {
    const taken: BackupEntry[] = []
    for (let i = 0; i < 4; i++) {
      before.clock.advance(1000)
      taken.push(await backUp(before, urlOf('first.db'), 2))
    }
    expect((await readCatalogue(before.store)).backups.map(({ name }) => name)).toEqual(taken.slice(2).map(({ name }) => name))
    expect(await before.store.head(backupKeys.piece(taken[0]!.name, 1))).toBeNull()
    expect(await before.store.head(backupKeys.index(taken[1]!.name))).toBeNull()
    expect(await verifyBackup(before.store, taken[3]!.name, (await readIndex(before.store, taken[3]!.name)).index)).toEqual([])
  })
})

describe('a restore', () => {
  test('refuses a database that has rows, and says how to go on', async () => {
    const { name } = await backUp(before, urlOf('first.db'))
    await expect(restoreInto(before, urlOf('first.db'), name)).rejects.toThrow(/is not empty \(it has rows in .*\), and a restore never writes over one\. Stop the controller/)
  })

  test('brings a backup of an older schema up to this one, with its rows; an empty database that is ahead of the backup, and a backup that is ahead of this program, are refused (F57)', async () => {
    const old = await openDatabase(urlOf('old.db'))
    await migrate(old, before.clock.nowMs(), readMigrations().slice(0, 1))
    await addSites(old, [{ id: 'a' }])
    old.close()
    const { name } = await backUp(before, urlOf('old.db'))
    const empty = await openDatabase(urlOf('empty.db'))
    await migrate(empty)
    empty.close()
    await expect(restoreInto(before, urlOf('empty.db'), name)).rejects.toThrow(/migrated already, beyond the backup \(0002_restores\.sql\)/)
    await restoreInto(before, urlOf('second.db'), name)
    const db = await openDatabase(urlOf('second.db'))
    expect(await migrate(db)).toEqual([])
    expect(await db.orm.all(sql`SELECT id, (SELECT verdict FROM restored_site WHERE site_id = id) AS verdict FROM site`)).toEqual([{ id: 'a', verdict: 'not-heard-yet' }])
    db.close()
    const { index } = await readIndex(before.store, name)
    await writeJson(before.store, backupKeys.index(name), { ...index, migrations: [...index.migrations, { name: '0999_of_another_day.sql', digest: 'ab'.repeat(32) }] })
    await expect(restoreInto(before, urlOf('third.db'), name)).rejects.toThrow(/0999_of_another_day\.sql; this program does not know it/)
  })

  test('that was killed half-way has changed nothing, and is begun again (F57)', async () => {
    await enrolSites(before, [{ id: 'a', offline: true }])
    const { name } = await backUp(before, urlOf('first.db'))
    const failing = { ...before, store: { ...before.store, head: async (key: string) => before.store.head(key), get: async (key: string, bytesMax: number) => {
      if (key === storeKeys.epoch()) throw new Error('the power went')
      return before.store.get(key, bytesMax)
    } } }
    await expect(restoreInto(failing, urlOf('second.db'), name)).rejects.toThrow('the power went')
    const db = await openDatabase(urlOf('second.db'))
    expect(await db.orm.all(sql`SELECT (SELECT count(*) FROM site) AS sites, (SELECT count(*) FROM token) AS tokens, (SELECT count(*) FROM incoming_site) AS beside`)).toEqual([{ sites: 0, tokens: 0, beside: 1 }])
    db.close()
    expect(await restoreInto(before, urlOf('second.db'), name)).toMatchObject({ epoch: 2 })
    const again = await openDatabase(urlOf('second.db'))
    expect(await again.orm.all(sql`SELECT (SELECT count(*) FROM site) AS sites, (SELECT count(*) FROM sqlite_schema WHERE name LIKE 'incoming%') AS beside`)).toEqual([{ sites: 1, beside: 0 }])
    again.close()
  })

  test('can leave all tokens out', async () => {
    const { name } = await backUp(before, urlOf('first.db'))
    await restoreInto(before, urlOf('second.db'), name, { withoutTokens: true })
    const db = await openDatabase(urlOf('second.db'))
    expect(await db.orm.all(sql`SELECT count(*) AS n FROM token`)).toEqual([{ n: 0 }])
    db.close()
  })

  test('calls a release available only if the store has its objects', async () => {
    await addRelease(before, '1.0.0')
    await before.db.write([{ sql: `INSERT INTO release_object (object, release_id, stored_bytes) VALUES (?, 'app@1.0.0', 1)`, args: ['ab'.repeat(32)] }])
    const { name } = await backUp(before, urlOf('first.db'))
    expect(await restoreInto(before, urlOf('second.db'), name)).toMatchObject({ releasesLacking: ['app@1.0.0'] })
    const db = await openDatabase(urlOf('second.db'))
    expect(await db.orm.all(sql`SELECT state, detail FROM release`)).toEqual([{ state: 'rejected', detail: expect.stringContaining('publish it again') }])
    db.close()
  })

  test('removes nothing that a release of the lost hour may have claimed, and pauses completed rollouts that a hello could set going again', async () => {
    const object = 'ab'.repeat(32)
    await before.store.put(storeKeys.object(object), utf8('x'), sha256Of(utf8('x')))
    await before.db.write([{ sql: 'INSERT INTO object_removal (object, stored_bytes) VALUES (?, 1)', args: [object] }])
    const fleet = await enrolSites(before, [{ id: 'a' }])
    const { id } = await addRelease(before, '1.0.0')
    const rollout = await startRollout(before, { name: 'one', target: { release: id }, selector: everyone, policy: oneWave(1) })
    await runFleet(before, fleet)
    await before.db.write([{ sql: `UPDATE deployment SET state = 'unknown'`, args: [] }])
    expect((await look(before, rollout.id)).state).toBe('completed')
    const { name } = await backUp(before, urlOf('first.db'))
    await restoreInto(before, urlOf('second.db'), name)
    const after = await takeOver(before, urlOf('second.db'))
    for (const job of createJobs(after.deps)) await job.run()
    expect(await before.store.head(storeKeys.object(object))).not.toBeNull()
    expect((await look(after, rollout.id)).pauses).toMatchObject([{ reason: 'restored' }])
    after.close()
  })
})

describe('a release that only the object store remembers', () => {
  test('is announced again by its digest, checked, and is the very same; a manifest that is not there, or says something else, is refused', async () => {
    const made = await makeRelease('1.0.0', { app: { 'etc/app': 'one' } })
    const announced = await announce(before, made)
    await putObjects(before, made)
    await before.call('completeRelease', { as: 'publisher', params: { release: made.id } })
    const { digest } = announced.body
    await before.db.write([{ sql: 'DELETE FROM release', args: [] }])
    expect(await before.call('rememberRelease', { as: 'operator', body: { digest } })).toMatchObject({ status: 200, body: { id: made.id, digest, state: 'checking' } })
    for (const job of createJobs(before.deps)) await job.run()
    expect((await before.call('getRelease', { params: { release: made.id } })).body).toMatchObject({ digest, state: 'available' })
    expect((await before.call('rememberRelease', { as: 'operator', body: { digest } })).body).toMatchObject({ state: 'available' })

    expect(await before.call('rememberRelease', { as: 'operator', body: { digest: 'ab'.repeat(32) } })).toMatchObject({ status: 404 })
    const other = (await before.store.get(storeKeys.manifest(digest), 1_000_000))!
    await before.store.put(storeKeys.manifest('cd'.repeat(32)), other, sha256Of(other))
    expect(await before.call('rememberRelease', { as: 'operator', body: { digest: 'cd'.repeat(32) } })).toMatchObject({ status: 422 })
  })
})
