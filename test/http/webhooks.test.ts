import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answerOf } from '../../functions/adapters/memory/memory-http-sender.ts'
import { limits } from '../../protocol/limits.ts'
import { startSubscriptions, type Subscriptions } from './webhooks.support.ts'

let fleet: Subscriptions
beforeEach(async () => void (fleet = await startSubscriptions()))
afterEach(() => fleet.close())

const url = 'https://hooks.example.com/services/T0123/B4567/verysecret'
const call: Subscriptions['controller']['call'] = (id, options) => fleet.controller.call(id, options)
const create = (more: object = {}) => call('createWebhook', { body: { name: 'pager', url, ...more } })
const everything = async (): Promise<string> =>
  JSON.stringify((await fleet.controller.db.write(['webhook', 'delivery', 'audit'].map((table) => ({ sql: `SELECT * FROM ${table}`, args: [] })))).map(({ rows }) => rows))

describe('a webhook', () => {
  test('is made with a secret that is shown once and is nowhere in the database, nor is its URL', async () => {
    const made = (await create()).body
    expect(made.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(made.webhook).toMatchObject({ name: 'pager', url: 'https://hooks.example.com/serv…', format: 'standard', state: 'enabled', waiting: 0, secrets: [{ version: 1, expiresAt: null }], version: 1 })
    const kept = await everything()
    expect([made.secret!, 'verysecret'].filter((secret) => kept.includes(secret))).toEqual([])
    expect((await call('getWebhook', { params: { webhook: made.webhook.id } })).body).toEqual(made.webhook)
  })

  test('that signs with Ed25519 shows the public key and no secret', async () => {
    const { secret, webhook } = (await create({ signing: 'v1a' })).body
    expect([secret, webhook.publicKey]).toEqual([null, expect.stringMatching(/^whpk_/)])
  })

  test('has PagerDuty\'s key where it is PagerDuty\'s, and only there', async () => {
    expect((await create({ format: 'pagerduty' })).status).toBe(400)
    expect((await create({ routingKey: 'R0UT1NG' })).status).toBe(400)
    const { webhook } = (await create({ format: 'pagerduty', routingKey: 'R0UT1NG' })).body
    await fleet.raise()
    await fleet.settle()
    expect(fleet.controller.http.requests[0]!.body).toContain('R0UT1NG')
    const id = (await call('listDeliveries', { params: { webhook: webhook.id } })).body.items[0]!.id
    const shown = await call('getDelivery', { params: { webhook: webhook.id, delivery: id } })
    expect([shown.status, shown.body.body.includes('R0UT1NG'), (await everything()).includes('R0UT1NG')]).toEqual([200, false, false])
  })

  test.each(['http://127.0.0.1/', 'https://10.0.0.1/', 'https://169.254.169.254/latest/meta-data', 'https://[::ffff:10.0.0.1]/', 'file:///etc/passwd', 'https://user:secret@example.com/', 'not a url'])('is refused when it leads to %s (F62)', async (where) => {
    const refused = await create({ url: where })
    expect([refused.status, refused.body.errors[0].path]).toEqual([400, 'url'])
    const { webhook } = (await create()).body
    expect((await call('updateWebhook', { params: { webhook: webhook.id }, body: { url: where } })).status).toBe(400)
  })

  test.each([{ types: ['nothing.*'] }, { types: ['alarm.exploded'] }, { labelSelector: 'a b c' }, { release: 'Not A Release' }, { severity: 'terrible' }])('is refused with the filter %j that nothing can fit', async (filter) => {
    expect((await create({ filter })).status).toBe(400)
  })

  test('is one of so many, and no more', async () => {
    await create()
    await fleet.controller.db.write([{
      sql: `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO webhook SELECT 'wh_' || printf('%026d', n.i), name, target, url_shown, format, signing, secrets, filter, per_second, state, disabled_reason, alarm_seq, audit_seq, failures, failing_since_ms, given_up_ms, hold_until_ms, paced_until_ms, created_by, created_ms, version FROM webhook, n`,
      args: [limits.webhooksMax],
    }])
    expect(await create()).toMatchObject({ status: 409, body: { reason: 'too-many' } })
    const first = (await call('listWebhooks', { query: { limit: '60' } })).body
    const second = (await call('listWebhooks', { query: { limit: '60', cursor: first.next! } })).body
    expect([first.items.length, second.items.length, second.next]).toEqual([60, 40, null])
  })

  test('is changed at the version that was read, and says who did what', async () => {
    const { id } = (await create()).body.webhook
    const changed = await call('updateWebhook', { params: { webhook: id }, headers: { 'if-match': '"1"' }, body: { name: 'other', url: 'https://new.example.com/hook' } })
    expect([changed.body.name, changed.body.url, changed.headers.get('etag')]).toEqual(['other', 'https://new.example.com/hook', '"2"'])
    expect((await call('updateWebhook', { params: { webhook: id }, headers: { 'if-match': '"1"' }, body: { name: 'late' } })).status).toBe(412)
    expect((await call('removeWebhook', { params: { webhook: id }, headers: { 'if-match': '"1"' } })).status).toBe(412)
    await call('rotateWebhook', { params: { webhook: id }, body: {} })
    await call('testWebhook', { params: { webhook: id }, body: {} })
    expect((await call('removeWebhook', { params: { webhook: id } })).status).toBe(204)
    expect((await call('getWebhook', { params: { webhook: id } })).status).toBe(404)
    const events = (await call('listEvents', { query: { entity: `webhook/${id}` } })).body.items
    expect(events.map(({ action, actor }) => `${action} ${actor}`)).toEqual(['create', 'update', 'rotate', 'test', 'remove'].map((verb) => `webhook.${verb} token:admin`))
  })

  test('gets its messages signed with the old secret and the new one while both are in force, in retries too (F66)', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(503))
    await fleet.raise()
    await fleet.settle()
    await call('rotateWebhook', { params: { webhook: id }, body: { keepOldFor: '60s' } })
    fleet.controller.clock.advance(10_000)
    await fleet.run()
    fleet.controller.clock.advance(300_000)
    await fleet.run()
    const [first, second, third] = fleet.sent()
    expect([first!, second!, third!].map(({ signatures }) => signatures.split(' ').length)).toEqual([1, 2, 1])
    expect(new Set([first!, second!, third!].map((message) => message.id)).size).toBe(1)
    expect([second!.timestampS - first!.timestampS, third!.timestampS - second!.timestampS]).toEqual([10, 300])
    expect(second!.signatures.split(' ')[1]).not.toBe(third!.signatures)
  })

  test('has at most so many secrets in force', async () => {
    const id = await fleet.subscribe('pager')
    const rotate = (keepOldFor: string) => call('rotateWebhook', { params: { webhook: id }, body: { keepOldFor } })
    const secrets = new Set<string | null>()
    for (let i = 1; i < limits.webhookSecretsMax; i++) secrets.add((await rotate('1h')).body.secret)
    expect((await rotate('1h')).status).toBe(409)
    const last = (await rotate('0s')).body
    secrets.add(last.secret)
    expect([secrets.size, last.webhook.secrets]).toEqual([limits.webhookSecretsMax, [{ version: limits.webhookSecretsMax + 1, expiresAt: null }]])
  })

  test('can be tried at once, also while it is disabled, and says what came back without what is secret', async () => {
    const id = await fleet.subscribe('pager')
    await call('updateWebhook', { params: { webhook: id }, body: { state: 'disabled' } })
    fleet.answers(() => answerOf(418, { headers: { 'set-cookie': 'session=1', 'x-answer': 'y'.repeat(5000) }, body: 'z'.repeat(5000) }))
    const tried = (await call('testWebhook', { as: 'operator', params: { webhook: id }, body: { message: 'hello' } })).body
    expect(tried).toMatchObject({ status: 418, error: null, responseHeaders: { 'set-cookie': '…' }, requestHeaders: { 'webhook-timestamp': expect.any(String) } })
    expect([tried.responseBody.length, tried.responseHeaders['x-answer']!.length]).toEqual([1024, 200])
    expect(fleet.sent()[0]!.events[0]).toMatchObject({ type: 'murmuration.webhook.test', data: { message: 'hello' } })
    expect(await fleet.log(id)).toEqual([])
  })

  test('that goes takes with it what waits, and is forgotten when its log is', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(500))
    await fleet.raise()
    await fleet.settle()
    await call('removeWebhook', { params: { webhook: id } })
    expect((await fleet.log(id)).map(({ state }) => state)).toEqual(['dropped'])
    fleet.controller.clock.advance(3_600_000)
    await fleet.run()
    expect(fleet.sent()).toHaveLength(1)
  })
})
