import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAwsBroker } from '../../functions/adapters/aws/aws-broker.ts'
import type { AwsIotOptions } from '../../functions/adapters/aws/options.ts'
import { judgeConfirmation } from '../../functions/adapters/aws/judge-confirmation.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { callSigned, enrolledSite } from '../support/agent.ts'
import { fleet, startController, type Controller } from '../support/controller.ts'
import { freePort } from '../support/free-port.ts'
import { enrolSites } from '../support/practice-fleet.ts'

const place = { region: 'eu-central-1', account: '123456789012' }
const arn = 'arn:aws:iot:eu-central-1:123456789012:ruledestination/http/7a280e37-b9c6-47a2-a751-0703693f46e4'
const path = '/v1/ingest/webhook/?confirmationToken=AYADtoken'

let controller: Controller
let control: Server
let endpoint: string
let asked: string[]
let answer: { status: number; headers?: Record<string, string> } | 'cut'

beforeEach(async () => {
  asked = []
  answer = { status: 200 }
  control = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (answer === 'cut') return void request.destroy()
    response.writeHead(answer.status, answer.headers).end('something of AWS')
  })
  await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(control.address() as AddressInfo).port}`
  controller = await startController()
  controller.deps.broker = createAwsBroker(options({ controlEndpoint: endpoint }))
})
afterEach(async () => {
  control.closeAllConnections()
  await new Promise((resolve) => control.close(resolve))
  controller.close()
})

function options(more: Partial<AwsIotOptions>): AwsIotOptions {
  return { ...place, fleet, endpoint: 'https://data.example.com', accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'secret', log: controller.deps.log, ...more }
}
const confirmation = (more: Record<string, unknown> = {}): Record<string, unknown> => ({ arn, confirmationToken: 'AYADtoken', enableUrl: `${endpoint}/confirmdestination/AYADtoken`, messageType: 'DestinationConfirmation', ...more })
/** As AWS sends it: without credentials, with the token in the query as well. */
const send = async (body: unknown): Promise<{ status: number; text: string }> => {
  const response = await controller.send('POST', path, { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', 'x-amz-rules-engine-message-type': 'DestinationConfirmation' } })
  return { status: response.status, text: await response.text() }
}

describe('the confirmation of a destination', () => {
  test('of this account and region is given, with one request and nothing of its answer', async () => {
    expect(await send(confirmation())).toEqual({ status: 200, text: '{"confirmed":true}' })
    expect(asked).toEqual(['GET /confirmdestination/AYADtoken'])
    expect(controller.logs).toContainEqual(expect.objectContaining({ event: 'ingress.confirmed', facts: expect.objectContaining({ arn }) as unknown }))
  })

  test('of another account, region or service is refused, logged, and asks nobody', async () => {
    const others = [
      arn.replace('123456789012', '210987654321'), arn.replace('eu-central-1', 'us-east-1'), arn.replace('ruledestination', 'rule'), arn.replace(':iot:', ':s3:'), `x${arn}`, '',
    ]
    for (const other of others) expect(await send(confirmation({ arn: other })), other).toMatchObject({ status: 403 })
    expect(asked).toEqual([])
    expect(controller.logs.filter(({ event }) => event === 'ingress.not-confirmed')).toHaveLength(others.length)
  })

  test('asks no address but the control plane\'s own, however it is written (F62)', async () => {
    const { port } = new URL(endpoint)
    const addresses = [
      'http://169.254.169.254/latest/meta-data/', `http://localhost:${port}/confirmdestination/x`, `http://127.0.0.1:${Number(port) + 1}/confirmdestination/x`, `https://127.0.0.1:${port}/confirmdestination/x`,
      `http://user:password@127.0.0.1:${port}/confirmdestination/x`, `${endpoint}/things/flock:north`, `${endpoint}/confirmdestination/../things/x`, `${endpoint}/confirmdestination/`, `${endpoint}/confirmdestination/a/b`,
      `${endpoint}/confirmdestination/x?y=1`, `${endpoint}.evil.test/confirmdestination/x`, 'file:///etc/passwd', 'data:text/plain,x', '//127.0.0.1/confirmdestination/x', 'not an address',
    ]
    for (const enableUrl of addresses) expect(await send(confirmation({ enableUrl })), enableUrl).toMatchObject({ status: 403 })
    expect(asked).toEqual([])
  })

  test('without a control endpoint of its own believes the region\'s, over https, and no neighbour of it', () => {
    const judge = (enableUrl: string) => judgeConfirmation(place, undefined, { arn, enableUrl }).ok
    expect(judge('https://iot.eu-central-1.amazonaws.com/confirmdestination/AYAD-_x')).toBe(true)
    const others = [
      'http://iot.eu-central-1.amazonaws.com/confirmdestination/x', 'https://iot.us-east-1.amazonaws.com/confirmdestination/x', 'https://iot.eu-central-1.amazonaws.com:8443/confirmdestination/x', 'https://iot.eu-central-1.amazonaws.com.evil.test/confirmdestination/x',
      'https://evil.test/iot.eu-central-1.amazonaws.com/confirmdestination/x', 'https://x@iot.eu-central-1.amazonaws.com/confirmdestination/x', 'https://iot.eu-central-1.amazonaws.com@evil.test/confirmdestination/x', 'https://data.iot.eu-central-1.amazonaws.com/confirmdestination/x',
    ]
    for (const other of others) expect(judge(other), other).toBe(false)
  })

  test('follows no redirect, and says when AWS did not take it (F63)', async () => {
    answer = { status: 302, headers: { location: `${endpoint}/elsewhere` } }
    expect(await send(confirmation())).toMatchObject({ status: 503 })
    expect(asked).toEqual(['GET /confirmdestination/AYADtoken'])
    answer = { status: 400 }
    expect(await send(confirmation())).toMatchObject({ status: 503 })
    answer = 'cut'
    expect(await send(confirmation())).toMatchObject({ status: 503 })
    controller.deps.broker = createAwsBroker(options({ controlEndpoint: `http://127.0.0.1:${await freePort()}` }))
    expect(await send(confirmation({ enableUrl: `${endpoint}/confirmdestination/x` }))).toMatchObject({ status: 403 })
    expect(controller.logs.every(({ facts }) => !JSON.stringify(facts).includes('something of AWS'))).toBe(true)
  })

  test('that is not of AWS\'s form, or too long, is refused before anything is asked', async () => {
    for (const body of [{}, { ...confirmation(), messageType: 'Notification' }, { ...confirmation(), arn: 7 }, '[]', 'not json', '']) expect((await send(body)).status).toBe(400)
    expect(await send(confirmation({ enableUrl: `${endpoint}/confirmdestination/${'x'.repeat(limits.confirmationBytesMax)}` }))).toMatchObject({ status: 413 })
    expect(asked).toEqual([])
  })

  test('means nothing to a controller with another broker', async () => {
    controller.deps.broker = controller.broker
    expect(await send(confirmation())).toMatchObject({ status: 409, text: expect.stringContaining('no-confirmation') as string })
    expect(asked).toEqual([])
  })
})

describe('what the rule of AWS IoT delivers', () => {
  // what `SELECT encode(*, 'base64') AS payload, topic() AS topic` makes of a message, alone or in a batch
  const deliver = (messages: unknown, authorization: string | undefined = `Bearer ${controller.tokens.ingest}`) =>
    controller.call('ingestWebhook', { as: null, body: messages as never, ...(authorization === undefined ? {} : { authorization }) })
  const reportOf = async (id: string) => {
    const site = (await enrolSites(controller, [{ id, offline: true }])).get(id)!
    const { topic, payload } = await site.message(site.helloBody())
    return { site, record: { payload: toBase64(payload), topic } }
  }
  beforeEach(() => void (controller.deps.broker = controller.broker))

  test('is taken one by one or as an array, once however often it comes (F49)', async () => {
    const { site, record } = await reportOf('north')
    for (const body of [record, [record, record]]) expect(await deliver(body)).toMatchObject({ status: 200, body: { refused: [] } })
    expect((await controller.call('getSite', { params: { site: site.id } })).body.presence).toBe('online')
  })

  test('in another order than it was said leaves what was said last (F36)', async () => {
    const site = (await enrolSites(controller, [{ id: 'north', offline: true }])).get('north')!
    site.connection = 1
    const hello = await site.message(site.helloBody())
    const gone = await site.message({ kind: 'gone', connectionId: site.connectionId })
    const records = [gone, hello].map(({ topic, payload }) => ({ payload: toBase64(payload), topic }))
    expect(await deliver(records)).toMatchObject({ status: 200, body: { refused: [] } })
    expect((await controller.call('getSite', { params: { site: site.id } })).body.presence).toBe('offline')
  })

  test('under the topic of another site is refused by itself (F40)', async () => {
    const { record } = await reportOf('north')
    await enrolSites(controller, [{ id: 'south', offline: true }])
    const forged = { ...record, topic: siteTopic(fleet, 'south' as never, 'report') }
    expect(await deliver([forged, record])).toMatchObject({ status: 200, body: { accepted: 1, refused: [{ index: 0 }] } })
  })

  test('without the token of the rule changes nothing', async () => {
    const { record } = await reportOf('north')
    expect(await controller.call('ingestWebhook', { as: null, body: record })).toMatchObject({ status: 401 })
    expect(await deliver(record, `Bearer ${controller.tokens.viewer}`)).toMatchObject({ status: 403 })
    expect(await deliver(record, `Bearer mm_${'0'.repeat(39)}f`)).toMatchObject({ status: 401 })
  })
})

describe('a certificate for the broker', () => {
  beforeEach(() => void (controller.deps.broker = controller.broker))
  const request = '-----BEGIN CERTIFICATE REQUEST-----\nMIHXMH8CAQAwHTE=\n-----END CERTIFICATE REQUEST-----\n'

  test('is given to the site that asks, at its own incarnation', async () => {
    const given: unknown[] = []
    const { key } = await enrolledSite(controller, 'north')
    controller.deps.broker = { ...controller.broker, certify: async (...all) => (given.push(all), { certificate: 'PEM', authority: null }) }
    const answered = await callSigned(controller, 'certify', { key, site: 'north', incarnation: 1 }, { body: { request } })
    expect(answered).toMatchObject({ status: 200, body: { certificate: 'PEM', authority: null } })
    expect(given).toEqual([['north', 1, request]])
  })

  test('is a conflict where the broker knows none, and a bad request where it is none', async () => {
    const { key } = await enrolledSite(controller, 'north')
    const agent = { key, site: 'north', incarnation: 1 }
    expect(await callSigned(controller, 'certify', agent, { body: { request } })).toMatchObject({ status: 409, body: { reason: 'no-certificates' } })
    for (const wrong of ['', 'x', request.replace('REQUEST', 'REQUESTS'), `${request}${request}`, request.replace('MIHX', 'MI HX'), `-----BEGIN CERTIFICATE REQUEST-----\n${'A'.repeat(5000)}\n-----END CERTIFICATE REQUEST-----\n`]) {
      expect(await callSigned(controller, 'certify', agent, { body: { request: wrong } })).toMatchObject({ status: 400 })
    }
    controller.deps.broker = { ...controller.broker, certify: () => Promise.reject(new Error('away')) }
    expect(await callSigned(controller, 'certify', agent, { body: { request } })).toMatchObject({ status: 503, body: { reason: 'broker' } })
  })
})
