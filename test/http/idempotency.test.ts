import { afterAll, beforeAll, expect, test } from 'vitest'
import { expireIdempotency } from '../../functions/http/idempotency.ts'
import { DatabaseFault } from '../../db/database-fault.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { limits } from '../../protocol/limits.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, enrolSites } from '../support/practice-fleet.ts'

let controller: Controller
beforeAll(async () => {
  controller = await startController()
  await controller.call('createSite', { body: { id: 'kiel' } })
})
afterAll(() => controller.close())

const alarm = { site: 'kiel', alarmId: '100.1', entity: 'disk', severity: 'major', text: 'full', gating: false }
const raise = (key: string, body: object = alarm, as: 'operator' | 'admin' = 'operator') => controller.call('raiseAlarm', { as, body, headers: { 'idempotency-key': key } })
const eventCount = async () => (await controller.call('listEvents', { query: { limit: '500' } })).body.items.length

test('the same request again is answered as the first time and done once', async () => {
  const first = await raise('one')
  await controller.call('clearAlarm', { body: { site: 'kiel', alarmId: '100.1', entity: 'disk' } })
  const before = await eventCount()
  const second = await raise('one')
  expect([second.status, second.body]).toEqual([201, first.body])
  expect(await eventCount()).toBe(before)
  expect((await controller.call('listAlarms')).body.items).toEqual([])
})

test('another request under the same key is refused', async () => {
  await raise('two')
  const { status, body } = await raise('two', { ...alarm, text: 'very full' })
  expect([status, body.reason]).toEqual([422, 'key-reused'])
})

test('a key is its actor\'s own', async () => {
  await raise('three')
  expect((await raise('three', { ...alarm, text: 'another body' }, 'admin')).status).toBe(201)
})

test('of requests at the same moment one is done, and the others hear that it is not over yet or what came of it (F49)', async () => {
  const before = await eventCount()
  const answers = await Promise.all(Array.from({ length: 10 }, () => raise('four', { ...alarm, entity: 'fan' })))
  expect(answers.filter((answer) => answer.status === 201).length).toBeGreaterThan(0)
  expect(answers.every((answer) => answer.status === 201 || answer.body.reason === 'in-progress')).toBe(true)
  expect(await eventCount()).toBe(before + 1)
})

test('after a refusal the key is free for the corrected world', async () => {
  const elsewhere = { ...alarm, site: 'husum' }
  expect((await raise('five', elsewhere)).status).toBe(404)
  await controller.call('createSite', { body: { id: 'husum' } })
  expect((await raise('five', elsewhere)).status).toBe(201)
})

test('a key whose request was killed is free again after a minute', async () => {
  await controller.db.write([{ sql: 'INSERT INTO idempotency (actor, key, fingerprint, expires_ms) VALUES (?, ?, ?, ?)', args: ['token:operator', 'six', 'x', controller.clock.nowMs() + 60_000] }])
  expect((await raise('six')).status).toBe(422)
  controller.clock.advance(60_000)
  expect((await raise('six')).status).toBe(201)
})

test('answers are forgotten after a day', async () => {
  controller.clock.advance(limits.idempotencyLifeMs)
  expect(await expireIdempotency(controller.context())).toBeGreaterThan(3)
  expect(await expireIdempotency(controller.context())).toBe(0)
})

test('a key that is no key is refused', async () => {
  for (const key of ['has space', 'x'.repeat(201)]) expect((await raise(key)).status).toBe(400)
})

test('no answer that holds a secret is ever kept (F70)', () => {
  for (const id of ['createToken', 'createSite', 'claimSite', 'enrol'] as const) expect(contracts[id].idempotencyKey, id).toBe(false)
})

test('a rollout whose answer was lost is not made a second time; where nothing was written the key is free (F52)', async () => {
  const once = await startController()
  await enrolSites(once, [{ id: 'kiel' }])
  await addRelease(once, '1.0.0')
  const create = (key: string) => once.call('createRollout', { body: { name: 'first', target: { release: 'app@1.0.0' }, selector: { all: true } }, headers: { 'idempotency-key': key } })
  const count = async () => (await once.call('listRollouts')).body.items.length
  const { write } = once.deps.db
  const failing = (lands: boolean) => {
    once.deps.db.write = async (statements, guards) => {
      if (!statements.some(({ sql }) => sql.startsWith('INSERT INTO rollout'))) return write(statements, guards)
      once.deps.db.write = write
      if (lands) await write(statements, guards)
      throw new DatabaseFault('database-away', new Error('the connection broke'))
    }
  }
  failing(false)
  expect((await create('lost')).status).toBe(503)
  failing(true)
  expect([(await create('lost')).status, await count()]).toEqual([503, 1])
  expect((await create('lost')).body).toMatchObject({ status: 409, reason: 'answer-lost' })
  expect(await count()).toBe(1)
  expect([(await create('another')).status, await count()]).toEqual([201, 2])
  once.close()
})
