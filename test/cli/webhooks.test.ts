import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { WebhookView } from '../../protocol/http/webhooks.ts'
import { madeUpController, murmurAlone, testIo, type Asked } from './command.support.ts'

let directory: string
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'murmur-cli-'))))
afterEach(() => rm(directory, { recursive: true, force: true }))

const id = `wh_${'1'.repeat(26)}`
const deliveryId = `wd_${'2'.repeat(26)}`
const at = (minute: number): string => new Date(Date.UTC(2026, 5, 1, 11, minute)).toISOString()
const webhook = (more: Partial<WebhookView> = {}): object => ({
  id, name: 'pager', filter: { types: ['alarm.*'], severity: 'major', labelSelector: 'region=north' }, perSecond: 20, url: 'https://events.example.com/…', format: 'standard', signing: 'v1', publicKey: null, state: 'enabled',
  disabledReason: null, secrets: [{ version: 2, expiresAt: null }, { version: 1, expiresAt: at(50) }], waiting: 3, failingSince: at(0), createdBy: 'token:jo', createdAt: at(0), version: 4, ...more,
})
const attempt = { at: at(30), durationMs: 41, address: '203.0.113.7', status: 503, error: null, requestHeaders: { 'webhook-id': 'msg' }, responseHeaders: { server: 'x\x1b[31m' }, responseBody: 'busy\x07\nreally' }
const delivery = { id: deliveryId, webhook: id, state: 'waiting', types: ['alarm.raised'], subject: 'harbour/100.003', events: 1, createdAt: at(30), nextAt: new Date(Date.UTC(2026, 5, 1, 12, 2)).toISOString(), attempts: 2, replayOf: null }

const run = async (args: string[], routes: Record<string, unknown>, more: Parameters<typeof testIo>[1] = {}) => {
  const { fetch, asked } = madeUpController(routes)
  const ended = await murmurAlone(['--url', 'http://controller.test', 'webhook', ...args], testIo(directory, { fetch, ...more }))
  return { ...ended, asked }
}

test('an endpoint is added; its secret goes to the output alone, and how to keep it beside it', async () => {
  const made = { webhook: webhook(), secret: 'whsec_c2VjcmV0' }
  const { code, out, err, asked } = await run(['add', 'pager', 'https://events.example.com/hook', '--type', 'alarm.*', '--type', 'rollout.pause', '--severity', 'major', '-l', 'region=north', '--per-second', '0.5'], { 'POST /v1/webhooks': made })
  expect([code, out]).toEqual([0, 'whsec_c2VjcmV0\n'])
  expect(err).toContain('shown only now')
  expect(asked[0]!.body).toEqual({ name: 'pager', url: 'https://events.example.com/hook', format: 'standard', signing: 'v1', perSecond: 0.5, filter: { types: ['alarm.*', 'rollout.pause'], severity: 'major', labelSelector: 'region=north' } })
  expect(JSON.parse((await run(['add', 'a', 'https://b', '-o', 'json'], { 'POST /v1/webhooks': made })).out)).toEqual(made)
  expect((await run(['add', 'a', 'https://b', '-o', 'name'], { 'POST /v1/webhooks': made })).out).toBe(`${id}\n`)
  const signedByKey = await run(['add', 'a', 'https://b', '--signing', 'v1a'], { 'POST /v1/webhooks': { webhook: webhook({ signing: 'v1a', publicKey: 'whpk_a2V5' }), secret: null } })
  expect([signedByKey.out, signedByKey.err]).toEqual(['whpk_a2V5\n', expect.stringContaining('public key')])
})

test('what is secret in an endpoint need not stand in the command line', async () => {
  await writeFile(join(directory, 'key'), 'R0123\n')
  const { asked } = await run(['add', 'pager', '-', '--format', 'pagerduty', '--routing-key-file', 'key'], { 'POST /v1/webhooks': { webhook: webhook(), secret: null } }, { input: async () => 'https://events.example.com/v2/enqueue\n' })
  expect(asked[0]!.body).toMatchObject({ url: 'https://events.example.com/v2/enqueue', routingKey: 'R0123', format: 'pagerduty' })
})

test('what makes no sense is told before anybody is asked', async () => {
  for (const args of [['add', 'pager'], ['add', 'a', 'b', '--format', 'fax'], ['add', 'a', 'b', '--type', 'Alarm'], ['add', 'a', 'b', '-l', 'a b c'], ['update', id], ['replay', id], ['replay', id, deliveryId, '--from', at(0)], ['show', 'pager']]) {
    expect(await run(args, {}), args.join(' ')).toMatchObject({ code: 2, asked: [] })
  }
})

test('webhooks are listed and shown with what they are told and how they fare', async () => {
  expect((await run(['list'], { 'GET /v1/webhooks': { items: [webhook()], next: null } })).out).toMatch(new RegExp(`${id} +pager +standard +enabled +3 +1h +https://events\\.example\\.com/…`))
  const { out } = await run(['show', id], { [`GET /v1/webhooks/${id}`]: webhook({ state: 'disabled', disabledReason: 'it answered 410\x1b[2J' }) })
  expect(out).toMatch(/state +disabled: it answered 410 \[2J\n/)
  expect(out).toMatch(/told +alarm\.\*; alarms from major on; of sites region=north\n/)
  expect(out).toMatch(/signed +v1, secret 2 and 1 \(until 2026-06-01 11:50:00Z\)\n/)
})

test('an endpoint is changed, switched and removed', async () => {
  const one = `/v1/webhooks/${id}`
  const changed = async (args: string[]) => (await run(args, { [`PATCH ${one}`]: webhook() })).asked[0]!.body
  expect(await changed(['update', id, '--name', 'x', '--to', 'https://c', '--type', 'alarm.raised'])).toEqual({ name: 'x', url: 'https://c', filter: { types: ['alarm.raised'] } })
  expect(await changed(['disable', id])).toEqual({ state: 'disabled' })
  expect(await changed(['enable', id])).toEqual({ state: 'enabled' })
  expect(await run(['remove', id], { [`GET ${one}`]: webhook() })).toMatchObject({ code: 2, err: expect.stringContaining('3 messages for it will not be sent') })
  expect(await run(['remove', id, '--yes'], { [`GET ${one}`]: webhook(), [`DELETE ${one}`]: null })).toMatchObject({ code: 0, err: `${id} was removed\n` })
  const rotated = await run(['rotate', id, '--keep-old-for', '2h'], { [`POST ${one}/rotate`]: { webhook: webhook(), secret: 'whsec_bmV3' } })
  expect([rotated.out, rotated.asked[0]!.body]).toEqual(['whsec_bmV3\n', { keepOldFor: 7_200_000 }])
})

test('a test says what came back, and fails when the endpoint does not take it', async () => {
  const path = `POST /v1/webhooks/${id}/test`
  expect(await run(['test', id], { [path]: { ...attempt, status: 204, responseBody: '' } })).toMatchObject({ code: 0, out: '204 in 41ms from 203.0.113.7\n' })
  expect(await run(['test', id], { [path]: attempt })).toMatchObject({ code: 1, out: '503 in 41ms from 203.0.113.7\n' })
  expect(await run(['test', id], { [path]: { ...attempt, status: null, error: 'forbidden: a private address' } })).toMatchObject({ code: 1, out: 'no answer in 41ms from 203.0.113.7: forbidden: a private address\n' })
})

test('deliveries are listed, and one is shown with what was answered, as harmless text (F71)', async () => {
  const list = await run(['deliveries', id, '--state', 'waiting'], { [`GET /v1/webhooks/${id}/deliveries`]: { items: [delivery], next: 'more' } })
  expect(list.out).toMatch(new RegExp(`${deliveryId} +waiting +2 +30m +2m +1 +alarm\\.raised +harbour/100\\.003`))
  expect(list.asked[0]!.query).toEqual({ state: 'waiting', limit: '50' })
  const { out } = await run(['deliveries', id, deliveryId], { [`GET /v1/webhooks/${id}/deliveries/${deliveryId}`]: { ...delivery, body: '{"type":"alarm.raised"}', log: [attempt] } })
  expect(out).toContain('{"type":"alarm.raised"}\n\n2026-06-01 11:30:00Z  503 in 41ms from 203.0.113.7\n  sent with\n    webhook-id: msg\n  answered with\n    server: x [31m\n\n    busy \n    really\n')
  expect(out.replaceAll('\n', '')).not.toMatch(/\p{C}/u)
})

test('one delivery is replayed, or a range to its end', async () => {
  const path = `POST /v1/webhooks/${id}/replay`
  expect(await run(['replay', id, deliveryId], { [path]: { replayed: 1, next: null } })).toMatchObject({ out: '1 message will be sent again\n', asked: [{ body: { delivery: deliveryId } }] })
  const range = await run(['replay', id, '--from', '2026-06-01T13:00:00+02:00', '--all'], { [path]: ({ body }: Asked) => ((body as { from: string }).from === at(0) ? { replayed: 1000, next: at(20) } : { replayed: 7, next: null }) })
  expect(range.out).toBe('1007 messages will be sent again\n')
  expect(range.asked.map(({ body }) => body)).toEqual([{ from: at(0), to: '2026-06-01T12:00:00.000Z', which: 'all' }, { from: at(20), to: '2026-06-01T12:00:00.000Z', which: 'all' }])
})
