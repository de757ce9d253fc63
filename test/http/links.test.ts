import { afterEach, beforeEach, expect, test } from 'vitest'
import { noteAtWork } from '../../db/versions-at-work.ts'
import { boundObjectStore } from '../../functions/adapters/bound-object-store.ts'
import type { LinkCheck } from '../../protocol/http/links.ts'
import { bringBack } from '../support/bring-back.ts'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
  // the database's clock is the machine's, and here the controller's too
  controller.clock.advance(Date.now() - controller.clock.nowMs())
  await controller.db.write([noteAtWork('0.0.0-test', controller.clock.nowMs())])
  bringBack(controller)
})
afterEach(() => controller.close())

const check = async () => (await controller.call('checkLinks')).body
const linksOf = (checks: readonly LinkCheck[]) => Object.fromEntries(checks.map(({ link, state }) => [link, state]))
const all = { store: 'ok', database: 'ok', migrations: 'ok', broker: 'ok', ingest: 'ok', cron: 'ok', keys: 'ok', clock: 'ok', outbox: 'ok' }

test('every link of a controller that works is well, and a download is signed for the caller', async () => {
  const { checks, download, host, version } = await check()
  expect(linksOf(checks)).toEqual(all)
  expect([host, version]).toEqual(['node', '0.0.0-test'])
  expect(checks.filter(({ cure }) => cure !== null)).toEqual([])
  expect(download).toMatchObject({ request: { method: 'GET', url: expect.stringContaining('controller/doctor') }, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
})

/** Breaks one thing; the named links fail, each with a cure, and all others are as they were (each failing alone). */
const failures: [string, () => unknown, Partial<Record<string, LinkCheck['state']>>, RegExp][] = [
  ['a store that fails', () => void (controller.store.put = async () => { throw new Error('503 from the bucket') }), { store: 'failing' }, /503 from the bucket.*MURMUR_S3/],
  ['a disk that is full', () => void (controller.store.put = boundObjectStore({ ...controller.store, put: () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })) }).put), { store: 'failing' }, /ENOSPC.*room/],
  ['a store that loses what it was given (F56)', () => void (controller.store.get = async () => null), { store: 'failing' }, /not there/],
  ['a store that takes anything', () => void (controller.store.put = async () => undefined), { store: 'failing' }, /./],
  ['a broker that takes nothing', () => void (controller.broker.reachable = false), { broker: 'failing', ingest: 'not-checked' }, /did not acknowledge/],
  ['a broker that does not let the controller in', () => void Object.assign(controller.broker, { reachable: false, fault: () => 'broker.test:8883: Connection refused: Not authorized' }), { broker: 'failing', ingest: 'not-checked' }, /Not authorized.*MURMUR_BROKER_PASSWORD/],
  ['a broker whose messages nobody brings', () => void (controller.broker.publish = async (messages) => { const keys = new Set<string>(); for await (const { key } of messages) keys.add(key); return keys }), { ingest: 'failing' }, /did not come back.*subscribe/],
  ['a schedule that stands still', () => controller.db.script("DELETE FROM setting WHERE key = 'jobs'"), { cron: 'failing' }, /never ran/],
  ['a schedule that stood still an hour ago', () => controller.db.script(`UPDATE setting SET value = '{"0.2.0": ${Date.now() - 3_600_000}}' WHERE key = 'jobs'`), { cron: 'failing' }, /60 minutes ago/],
  ['no trust.json', () => controller.db.script("DELETE FROM setting WHERE key = 'trust'"), { keys: 'failing' }, /no trust\.json.*murmur key trust --install/],
  ['a fleet key that trust.json does not list', () => void (controller.deps.keys.fleetKey = () => controller.keys.publisher), { keys: 'failing' }, /refuse every directive/],
  ['a clock an hour behind', () => controller.clock.advance(-3_600_000), { clock: 'failing' }, /3600\.\d s apart/],
  ['a migration that was not applied', () => controller.db.script("DELETE FROM migration WHERE name LIKE '0001%'"), { migrations: 'failing' }, /0001_.*murmur infra migrate/],
  ['an outbox that nobody empties', () => controller.db.script("INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms) VALUES ('a', 'grant', 1, 1, '{}', 1, 9, 0)"), { outbox: 'warning' }, /1 directives wait.*9 attempts/],
]
test.each(failures)('%s is found, with a cure', { timeout: 15_000 }, async (_, breakIt, wrong, words) => {
  await breakIt()
  const { checks } = await check()
  expect(linksOf(checks)).toEqual({ ...all, ...wrong })
  const found = checks.filter(({ state }) => state === 'failing' || state === 'warning')
  for (const { detail, cure } of found) expect(`${detail} → ${cure}`).toMatch(words)
  expect(found.map(({ cure }) => (cure ?? '').length > 10)).toEqual(found.map(() => true))
})

test('a store that never answers holds nobody up for longer than its bound', { timeout: 15_000 }, async () => {
  controller.store.put = () => new Promise(() => undefined)
  const { checks, download } = await check()
  expect(linksOf(checks)).toEqual({ ...all, store: 'failing' })
  expect(checks.find(({ link }) => link === 'store')!.detail).toBe('no answer within 5 s')
  expect(download).toBeNull()
})

test('on Workers it is missed that nobody may hand reports in', async () => {
  controller.deps.config = { ...controller.deps.config, host: 'worker' }
  expect(linksOf((await check()).checks).keys).toBe('ok')
  await controller.db.script("UPDATE token SET revoked_ms = 1 WHERE role = 'ingest'")
  const keys = (await check()).checks.find(({ link }) => link === 'keys')!
  expect([keys.state, keys.cure]).toEqual(['warning', expect.stringContaining('--role ingest')])
})
