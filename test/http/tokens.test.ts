import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureFirstAdmin } from '../../functions/auth/ensure-first-admin.ts'
import { hashSecret } from '../../functions/auth/secret.ts'
import { token } from '../../db/schema/operations.ts'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController({ trust: false })))
afterEach(() => controller.close())

const whoAmI = (secret: string) => controller.call('whoAmI', { authorization: `Bearer ${secret}` })
const idOf = async (name: string) => (await controller.call('listTokens', { query: { limit: '500' } })).body.items.find((item) => item.name === name)!.id

test('a new token works at once, is shown once, and is kept only as a hash (F70)', async () => {
  const { body } = await controller.call('createToken', { body: { name: 'ci', role: 'publisher' } })
  expect(body.secret).toMatch(/^mm_[0-9a-f]{40}$/)
  expect((await whoAmI(body.secret)).body).toMatchObject({ actor: 'token:ci', role: 'publisher', fleet: 'practice', rootFingerprint: null })
  const rows = await controller.db.orm.select().from(token)
  expect(JSON.stringify(rows)).not.toContain(body.secret.slice(3))
  expect(JSON.stringify((await controller.call('listTokens')).body)).not.toContain(body.secret.slice(3))
})

test('a revoked token stops at once, and revoking it again is no error (F70)', async () => {
  const { secret, token: made } = (await controller.call('createToken', { body: { name: 'ci', role: 'publisher' } })).body
  expect((await controller.call('revokeToken', { params: { token: made.id } })).status).toBe(204)
  const refused = await whoAmI(secret)
  expect([refused.status, refused.body.reason]).toEqual([401, 'revoked-token'])
  expect((await controller.call('revokeToken', { params: { token: made.id } })).status).toBe(204)
})

test('a token ends when it said it would', async () => {
  const { secret } = (await controller.call('createToken', { body: { name: 'short', role: 'viewer', expiresIn: '1h' } })).body
  controller.clock.advance(3_599_999)
  expect((await whoAmI(secret)).status).toBe(200)
  controller.clock.advance(1)
  expect((await whoAmI(secret)).body).toMatchObject({ status: 401, reason: 'expired-token' })
})

test('the last admin in force cannot be revoked, nor counts one that has expired (F70)', async () => {
  await controller.call('createToken', { body: { name: 'deputy', role: 'admin', expiresIn: '1h' } })
  controller.clock.advance(3_600_000)
  const refused = await controller.call('revokeToken', { params: { token: await idOf('admin') } })
  expect([refused.status, refused.body.reason]).toEqual([409, 'last-admin'])
  await controller.call('createToken', { body: { name: 'successor', role: 'admin' } })
  expect((await controller.call('revokeToken', { params: { token: await idOf('admin') } })).status).toBe(204)
})

test('two admins who revoke each other at the same moment cannot lock everybody out', async () => {
  const deputy = (await controller.call('createToken', { body: { name: 'deputy', role: 'admin' } })).body
  const first = await idOf('admin')
  const statuses = await Promise.all([
    controller.call('revokeToken', { params: { token: deputy.token.id } }),
    controller.call('revokeToken', { authorization: `Bearer ${deputy.secret}`, params: { token: first } }),
  ])
  expect(statuses.map((answer) => answer.status).sort()).not.toEqual([204, 204])
})

test('a name belongs to one token in force: it is what the audit trail says', async () => {
  await controller.call('createToken', { body: { name: 'ci', role: 'publisher' } })
  const second = await controller.call('createToken', { body: { name: 'ci', role: 'admin' } })
  expect([second.status, second.body.reason]).toEqual([409, 'name-taken'])
  await controller.call('revokeToken', { params: { token: await idOf('ci') } })
  expect((await controller.call('createToken', { body: { name: 'ci', role: 'admin' } })).status).toBe(201)
})

test.each([['', 'no-credentials'], ['Bearer mm_short', 'unknown-token'], [`Bearer mm_${'f'.repeat(40)}`, 'unknown-token'], ['Basic YWRtaW46YWRtaW4=', 'malformed-credentials'], ['Murmur-Agent site=a', 'malformed-credentials']])(
  'the credentials %j are refused, with how to bring better ones', async (authorization, reason) => {
    const { status, body, headers } = await controller.call('whoAmI', authorization === '' ? { as: null } : { authorization })
    expect([status, body.reason]).toEqual([401, reason])
    expect(headers.get('www-authenticate')).toBe('Bearer')
  })

test('the first admin is made once, and never beside another', async () => {
  const empty = await startController({ trust: false })
  await empty.db.write([{ sql: 'DELETE FROM token', args: [] }])
  const secret = `mm_${'a'.repeat(40)}`
  const hash = await hashSecret(empty.deps.crypto, secret)
  expect(await Promise.all([ensureFirstAdmin(empty.context(), hash), ensureFirstAdmin(empty.context(), hash)])).toEqual(expect.arrayContaining([true, false]))
  expect(await ensureFirstAdmin(empty.context(), await hashSecret(empty.deps.crypto, 'another'))).toBe(false)
  expect((await empty.call('whoAmI', { authorization: `Bearer ${secret}` })).body.role).toBe('admin')
  empty.close()
})
