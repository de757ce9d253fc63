import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { deriveReportKey } from '../../protocol/envelope.ts'
import { controllerTimeHeader } from '../../protocol/http/agent-signature.ts'
import { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { callSigned, enrolBody, enrolledSite } from '../support/agent.ts'
import { fleet, makeKey, startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController()))
afterEach(() => controller.close())

const enrol = (body: unknown) => controller.call('enrol', { as: null, body })
const claimOf = async (site: string) => (await controller.call('createSite', { body: { id: site } })).body.claim.claim

describe('a claim', () => {
  test('binds a key to its site, once', async () => {
    const claim = await claimOf('kiel')
    const key = await makeKey('agent')
    const { status, body } = await enrol(await enrolBody(key, 'kiel', claim))
    expect(status).toBe(201)
    expect(body).toMatchObject({ fleet: 'practice', site: 'kiel', incarnation: 1, broker: { clientId: 'kiel' } })
    expect(body.reportKey).toBe(toBase64(await deriveReportKey(nodeCrypto, controller.deps.keys.ingestSecret(), fleet, SiteId.parse('kiel'), 1)))
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body).toMatchObject({ state: 'enrolled', incarnation: 1, agentVersion: '1.0.0' })
    expect((await enrol(await enrolBody(await makeKey('thief'), 'kiel', claim))).body).toMatchObject({ status: 401, reason: 'claim' })
  })

  test('used by many keys at the same moment binds exactly one (F75)', async () => {
    const claim = await claimOf('kiel')
    const answers = await Promise.all(Array.from({ length: 6 }, async (_, i) => enrol(await enrolBody(await makeKey(`k${i}`), 'kiel', claim))))
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, 401, 401, 401, 401, 401])
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body.incarnation).toBe(1)
  })

  test('may be used again by the key that used it, for an answer that was lost, and counts once', async () => {
    const claim = await claimOf('kiel')
    const body = await enrolBody(await makeKey('agent'), 'kiel', claim)
    const first = await enrol(body)
    const again = await enrol(body)
    expect(again.body).toEqual(first.body)
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body.incarnation).toBe(1)
  })

  test('is refused in the same words when it is wrong, expired, of another site or of none (F75)', async () => {
    const claim = await claimOf('kiel')
    await claimOf('husum')
    const key = await makeKey('agent')
    const wrong = await Promise.all([
      enrol(await enrolBody(key, 'kiel', `mc_${'0'.repeat(40)}`)), enrol(await enrolBody(key, 'husum', claim)), enrol(await enrolBody(key, 'nowhere', claim)),
    ])
    controller.clock.advance(limits.claimLifeMs)
    const expired = await enrol(await enrolBody(key, 'kiel', claim))
    expect(new Set([...wrong, expired].map(({ status, body }) => `${status} ${body.reason} ${body.detail}`)).size).toBe(1)
    expect(expired.status).toBe(401)
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body.state).toBe('claimed')
  })

  test('is replaced by the next one', async () => {
    const lost = await claimOf('kiel')
    const { claim } = (await controller.call('claimSite', { params: { site: 'kiel' } })).body
    const key = await makeKey('agent')
    expect((await enrol(await enrolBody(key, 'kiel', lost))).status).toBe(401)
    expect((await enrol(await enrolBody(key, 'kiel', claim))).status).toBe(201)
  })

  test('ends with its site', async () => {
    const claim = await claimOf('kiel')
    await controller.call('removeSite', { params: { site: 'kiel' } })
    expect((await enrol(await enrolBody(await makeKey('agent'), 'kiel', claim))).status).toBe(401)
  })

  test('is still good after a proof that was wrong, and after a broker that did not answer', async () => {
    const claim = await claimOf('kiel')
    const [key, other] = [await makeKey('agent'), await makeKey('other')]
    const body = await enrolBody(key, 'kiel', claim)
    const stolen = { ...body, publicKey: toBase64(other.pair.publicKey) }
    expect((await enrol(stolen)).body).toMatchObject({ status: 422, reason: 'bad-proof' })
    controller.broker.reachable = false
    expect((await enrol(body)).body).toMatchObject({ status: 503, retry: true })
    controller.broker.reachable = true
    expect((await enrol(body)).status).toBe(201)
  })

  test('leaves no trace of itself in the database (F70)', async () => {
    const claim = await claimOf('kiel')
    const rows = await controller.db.orm.all('SELECT * FROM site')
    const audit = (await controller.call('listEvents')).body
    expect(JSON.stringify([rows, audit])).not.toContain(claim)
  })
})

describe('an agent\'s signature', () => {
  test('gets the enrolment again', async () => {
    const { key, enrolment } = await enrolledSite(controller, 'kiel')
    expect((await callSigned(controller, 'renewEnrolment', { key, site: 'kiel', incarnation: 1 })).body).toEqual(enrolment)
  })

  test('of an agent that was enrolled before another is fenced (F31)', async () => {
    const first = await enrolledSite(controller, 'kiel')
    const { claim } = (await controller.call('claimSite', { params: { site: 'kiel' } })).body
    expect((await callSigned(controller, 'renewEnrolment', { key: first.key, site: 'kiel', incarnation: 1 })).status).toBe(200)
    const second = await makeKey('second')
    await enrol(await enrolBody(second, 'kiel', claim))
    expect((await callSigned(controller, 'renewEnrolment', { key: first.key, site: 'kiel', incarnation: 1 })).body).toMatchObject({ status: 401, reason: 'fenced' })
    expect((await callSigned(controller, 'renewEnrolment', { key: first.key, site: 'kiel', incarnation: 2 })).body).toMatchObject({ status: 401, reason: 'bad-signature' })
    expect((await callSigned(controller, 'renewEnrolment', { key: second, site: 'kiel', incarnation: 2 })).status).toBe(200)
  })

  test('gets nothing of the next incarnation, also when that one is enrolled while the request is served (F31)', async () => {
    const first = await enrolledSite(controller, 'kiel')
    const { claim } = (await controller.call('claimSite', { params: { site: 'kiel' } })).body
    const { crypto } = controller.deps
    controller.deps.crypto = { ...crypto, verify: async (...signed) => {
      controller.deps.crypto = crypto
      await enrol(await enrolBody(await makeKey('second'), 'kiel', claim))
      return crypto.verify(...signed)
    } }
    expect((await callSigned(controller, 'renewEnrolment', { key: first.key, site: 'kiel', incarnation: 1 })).body).toMatchObject({ status: 401, reason: 'fenced' })
  })

  test('with a clock in 1970 is told the time, and works with it (F30)', async () => {
    const { key } = await enrolledSite(controller, 'kiel')
    const refused = await callSigned(controller, 'renewEnrolment', { key, site: 'kiel', incarnation: 1, timeMs: 0 })
    expect([refused.status, refused.body.reason]).toEqual([401, 'clock-skew'])
    const timeMs = Number(refused.headers.get(controllerTimeHeader))
    expect((await callSigned(controller, 'renewEnrolment', { key, site: 'kiel', incarnation: 1, timeMs })).status).toBe(200)
  })

  test('of another site, or for another body, is refused (F40)', async () => {
    const { key } = await enrolledSite(controller, 'kiel')
    await enrolledSite(controller, 'husum')
    expect((await callSigned(controller, 'renewEnrolment', { key, site: 'husum', incarnation: 1 })).status).toBe(401)
    expect((await callSigned(controller, 'renewEnrolment', { key, site: 'nowhere', incarnation: 1 })).status).toBe(401)
  })
})
