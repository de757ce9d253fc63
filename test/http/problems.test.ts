import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../../functions/http/app.ts'
import { createObjectRoute } from '../../functions/http/object-route.ts'
import { digestOf } from '../../protocol/envelope.ts'
import { Problem } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeAll(async () => void (controller = await startController()))
afterAll(() => controller.close())

const post = (body: BodyInit, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  controller.send('POST', '/v1/sites', { authorization: `Bearer ${controller.tokens.operator}`, body, headers })
const problemOf = async (response: Response) => {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return Problem.parse(await response.json())
}

describe('a request that is not valid', () => {
  test.each([
    ['broken JSON', '{"id": "a",', /not valid JSON/],
    ['text after the JSON', '{"id": "a"} {}', /not valid JSON/],
    ['half a surrogate pair', '{"id": "a\\ud83d"}', /half a surrogate pair/],
    ['a key that stands twice (F19)', '{"id": "a", "id": "b"}', /"id" stands twice/],
    ['nesting without end (F19)', `{"id": ${'['.repeat(5000)}${']'.repeat(5000)}}`, /nested deeper/],
    ['bytes that are not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not UTF-8/],
    ['NaN', '{"id": NaN}', /not valid JSON/],
    ['a list', '[]', /expected object/i],
  ])('is refused for %s', async (_, body, message) => {
    const response = await post(body)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).detail).toMatch(message)
  })

  test('lists all its faults at once, in path, query and body', async () => {
    const response = await controller.send('PATCH', '/v1/sites/Not_A_Site?x=1', {
      authorization: `Bearer ${controller.tokens.operator}`, headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ labels: { 'bad key': 'v' }, timeZone: 'Atlantis/Capital', version: 9, __proto__: { role: 'admin' } }),
    })
    const { errors } = await problemOf(response)
    expect(response.status).toBe(400)
    expect(errors?.map((error) => error.path).sort()).toEqual(['(body)', 'labels.bad key', 'path.site', 'query', 'timeZone'])
  })

  test('does not get fields in that nobody asked for (F69)', async () => {
    for (const extra of [{ state: 'enrolled' }, { incarnation: 7 }, JSON.parse('{"__proto__": {"role": "admin"}}')]) {
      const response = await post(JSON.stringify({ id: 'mass', ...extra }).replace('{', Object.hasOwn(extra, '__proto__') ? '{"__proto__": {}, ' : '{'))
      expect(response.status).toBe(400)
    }
    expect((await controller.call('getSite', { params: { site: 'mass' } })).status).toBe(404)
  })

  test('is refused when it is not called JSON', async () => {
    const response = await post('{"id": "a"}', { 'content-type': 'text/plain' })
    expect(response.status).toBe(400)
    expect((await problemOf(response)).detail).toContain('application/json')
  })

  test('is refused when a query parameter is given twice or a page is too long (F73)', async () => {
    const get = (query: string) => controller.send('GET', `/v1/sites?${query}`, { authorization: `Bearer ${controller.tokens.viewer}` })
    for (const query of ['limit=1&limit=2', 'limit=1000000000', 'limit=0', 'cursor=nonsense', 'sort=id', 'labelSelector=a%3Db%3Dc'] ) expect((await get(query)).status, query).toBe(400)
  })
})

describe('a body over its limit', () => {
  test('is refused by its announced length before a byte is read', async () => {
    const response = await post('{}', { 'content-type': 'application/json', 'content-length': String(limits.httpBodyBytesMax + 1) })
    expect(response.status).toBe(413)
  })

  test('is cut off at the limit when its length was not announced (F44)', async () => {
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull(stream) {
        sent += 65_536
        stream.enqueue(new Uint8Array(65_536).fill(0x20))
      },
    })
    const request = new Request('https://fleet.test/v1/sites', { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json', 'authorization': `Bearer ${controller.tokens.operator}` } } as RequestInit)
    const response = await controller.app.request(request)
    expect(response.status).toBe(413)
    expect((await problemOf(response)).code).toBe('too-large')
    expect(sent).toBeLessThan(2 * limits.httpBodyBytesMax)
  })

  test('of someone without credentials is not read at all (F76)', async () => {
    let pulled = 0
    const body = new ReadableStream<Uint8Array>({ pull: () => void (pulled += 1) }, { highWaterMark: 0 })
    const response = await controller.app.request(new Request('https://fleet.test/v1/sites', { method: 'POST', body, duplex: 'half' } as RequestInit))
    expect(response.status).toBe(401)
    expect(pulled).toBe(0)
  })
})

describe('an answer', () => {
  test('to an unknown path is a problem too', async () => {
    const response = await controller.send('GET', '/v2/everything')
    expect(response.status).toBe(404)
    expect((await problemOf(response)).code).toBe('not-found')
  })

  test('of a route mounted beside the API is a problem too, with the headers that route had set', async () => {
    const host = await startController()
    const app = createApp(host.deps).route('/', createObjectRoute({ store: host.store, clock: host.clock, crypto: host.deps.crypto, secret: host.deps.keys.ingestSecret() }))
    const bytes = new Uint8Array(4)
    const sha256 = await digestOf(host.deps.crypto, bytes)
    const { url } = await host.store.signPut(storeKeys.object(sha256), { sha256, size: 4 }, 1000)
    const response = await app.request(url, { method: 'PUT', body: bytes.subarray(2), headers: { 'upload-offset': '2' } })
    expect([response.status, response.headers.get('upload-offset')]).toEqual([409, '0'])
    expect((await problemOf(response)).reason).toBe('wrong-offset')
    host.close()
  })

  test('carries the request id of the caller when it is well-formed, and a new one otherwise', async () => {
    const idOf = async (offered: string) => (await controller.send('GET', '/healthz', { headers: { 'x-request-id': offered } })).headers.get('x-request-id')
    expect(await idOf('deploy-2026-06-01')).toBe('deploy-2026-06-01')
    expect(await idOf('short')).not.toBe('short')
    expect(await idOf('has spaces {"in": "it"}')).toMatch(/^[0-9a-z]{26}$/)
  })

  test('to what nobody foresaw tells nothing of the inside, and the log has the cause under the same id', async () => {
    const broken = await startController()
    broken.close()
    const response = await broken.send('GET', '/v1/sites', { authorization: `Bearer ${broken.tokens.viewer}` })
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ status: 500, code: 'internal', retry: true })
    expect(problem.detail).not.toMatch(/sql|client|closed/i)
    expect(broken.logs.find((line) => line.event === 'http.failed')?.facts).toMatchObject({ requestId: problem.requestId })
  })

  test('says which part is missing when the controller is not ready', async () => {
    const broken = await startController()
    broken.close()
    const { status, body } = await broken.call('ready', { as: null })
    expect(status).toBe(503)
    expect(body).toMatchObject({ code: 'unavailable', detail: 'database: does not answer as it should', errors: [{ path: 'database' }] })
    expect((await broken.call('health', { as: null })).status).toBe(200)
  })

  test('is logged in one line, without secrets (F70)', async () => {
    controller.logs.length = 0
    const { body } = await controller.call('createToken', { body: { name: 'quiet', role: 'viewer' }, headers: { 'x-request-id': 'request-of-mine' } })
    const lines = controller.logs.filter((line) => line.event === 'http.request')
    expect(lines.map((line) => line.facts)).toEqual([{ method: 'POST', route: '/v1/tokens', status: 201, ms: 0, actor: 'token:admin', requestId: 'request-of-mine' }])
    const log = JSON.stringify(controller.logs)
    expect(log).not.toContain(body.secret)
    expect(log).not.toContain(controller.tokens.admin)
  })
})
