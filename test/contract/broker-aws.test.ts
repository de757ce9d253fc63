import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DescribeCertificateCommand, DescribeThingCommand, GetPolicyCommand, IoTClient, ListAttachedPoliciesCommand, ListCertificatesCommand, ListThingPrincipalsCommand, ListThingsInThingGroupCommand } from '@aws-sdk/client-iot'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { certificateRequest, makeCertificateKey } from '../../edge-agent/link/certificate-request.ts'
import { createAwsBroker } from '../../functions/adapters/aws/aws-broker.ts'
import type { AwsIotOptions } from '../../functions/adapters/aws/options.ts'
import { createRollCall } from '../../functions/adapters/aws/roll-call.ts'
import { readNodeSettings } from '../../functions/platform/env.ts'
import { startNode } from '../../functions/platform/start-node.ts'
import type { OutgoingMessage } from '../../functions/ports/broker.ts'
import { controllerPolicy } from '../../infra/aws/controller-policy.ts'
import { utf8 } from '../../protocol/bytes.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { downTopics, probeTopic, rollCallTopic, siteTopic, type DownTopic } from '../../protocol/topics.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { awsAccess, startAwsIot, type AwsIot } from '../support/start-aws-iot.ts'
import { fleet, until } from './broker.cases.ts'

const north = 'north' as SiteId
const south = 'south' as SiteId
const message = (site: SiteId, topic: DownTopic, text: string): OutgoingMessage => ({ key: text, topic: siteTopic(fleet, site, topic), payload: utf8(text), retain: topic === 'desired' })

const { describe: describeAws } = needs('moto')

describeAws('AWS IoT Core', () => {
  let aws: AwsIot
  let registry: IoTClient
  let logged: { event: string; facts: Record<string, unknown> }[]
  const optionsFor = (more: Partial<AwsIotOptions> = {}): AwsIotOptions => ({
    ...awsAccess, fleet, endpoint: aws.endpoint, controlEndpoint: aws.endpoint, timeoutMs: 3000, log: { write: (_, event, facts) => void logged.push({ event, facts }) }, ...more,
  })
  beforeAll(async () => {
    aws = await startAwsIot()
    registry = new IoTClient({ region: awsAccess.region, endpoint: aws.endpoint, credentials: awsAccess })
  })
  afterAll(async () => {
    registry.destroy()
    await aws.stop()
  })
  beforeEach(async () => {
    await aws.reset()
    logged = []
    await aws.prepare(fleet)
  })

  const request = (site: SiteId): string => certificateRequest(makeCertificateKey(), `${fleet}:${site}`)
  const principalsOf = async (site: SiteId): Promise<string[]> => (await registry.send(new ListThingPrincipalsCommand({ thingName: `${fleet}:${site}` }))).principals ?? []
  const certificates = async (): Promise<string[]> => (await registry.send(new ListCertificatesCommand({}))).certificates!.map(({ status }) => status!)
  const idOf = (arn: string): string => arn.slice(arn.lastIndexOf('/') + 1)
  const incarnationOf = async (site: SiteId): Promise<string | undefined> => (await registry.send(new DescribeThingCommand({ thingName: `${fleet}:${site}` }))).attributes?.incarnation

  describe('publishing', () => {
    test('acknowledges under its key what was signed rightly and taken, retained where it must be', async () => {
      const broker = createAwsBroker(optionsFor())
      expect(await broker.publish([message(north, 'grant', 'a'), message(south, 'desired', 'b')])).toEqual(new Set(['a', 'b']))
      expect(await broker.publish([])).toEqual(new Set())
      expect(aws.publications.toSorted((x, y) => (x.payload < y.payload ? -1 : 1))).toEqual([
        { topic: siteTopic(fleet, north, 'grant'), payload: 'a', retain: false },
        { topic: siteTopic(fleet, south, 'desired'), payload: 'b', retain: true },
      ])
      expect(aws.refusals).toEqual([])
    })

    test('takes what is still being made, a bounded number at a time, and keeps the order of each topic', async () => {
      async function* making() {
        for (let i = 0; i < 150; i++) yield message(i % 3 === 0 ? north : south, i % 2 === 0 ? 'grant' : 'command', String(i))
      }
      let open = 0
      let openMost = 0
      aws.disturb((incoming) => {
        openMost = Math.max(openMost, ++open)
        incoming.once('close', () => open--)
        return null
      })
      expect((await createAwsBroker(optionsFor({ timeoutMs: 20_000 })).publish(making())).size).toBe(150)
      for (const topic of new Set(aws.publications.map((each) => each.topic))) {
        const numbers = aws.publications.filter((each) => each.topic === topic).map(({ payload }) => Number(payload))
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      }
      expect(openMost).toBeLessThanOrEqual(40)
    })

    test('tries again where AWS is too busy, a bounded number of times', async () => {
      const answers = [429, 503, null]
      aws.disturb(() => answers.shift() ?? null)
      expect(await createAwsBroker(optionsFor()).publish([message(north, 'grant', 'a')])).toEqual(new Set(['a']))
      let asked = 0
      aws.disturb(() => (asked++, 429))
      expect(await createAwsBroker(optionsFor()).publish([message(north, 'grant', 'a')])).toEqual(new Set())
      expect(asked).toBeLessThanOrEqual(4)
      expect(logged.map(({ event }) => event)).toEqual(['broker.unreachable'])
    })

    test('sends nothing of a topic behind a message that was not taken: all of it goes again in its order', async () => {
      aws.disturb((incoming) => (incoming.url!.includes('north') ? 403 : null))
      const sent = await createAwsBroker(optionsFor()).publish([message(north, 'desired', 'first'), message(north, 'desired', 'second'), message(south, 'desired', 'other')])
      expect(sent).toEqual(new Set(['other']))
      expect(aws.publications.map(({ payload }) => payload)).toEqual(['other'])
    })

    test('leaves out a message that can never be taken, and goes on with the others', async () => {
      aws.disturb((incoming) => (incoming.url!.includes('north') ? 413 : null))
      const messages = Array.from({ length: 20 }, (_, i) => message(i % 2 === 0 ? north : south, downTopics[i % 3]!, String(i)))
      expect((await createAwsBroker(optionsFor()).publish(messages)).size).toBe(10)
      expect(logged.every(({ event }) => event === 'broker.message-refused')).toBe(true)
    })

    test('with a wrong secret acknowledges nothing, says so, and does not try everything', async () => {
      const broker = createAwsBroker(optionsFor({ secretAccessKey: 'another' }))
      expect(await broker.publish(Array.from({ length: 500 }, (_, i) => message(`site-${i}` as SiteId, 'grant', String(i))))).toEqual(new Set())
      expect(aws.refusals.length).toBeLessThan(100)
      expect(aws.refusals[0]).toContain('the signature is not right')
      expect(logged.at(-1)).toMatchObject({ event: 'broker.unreachable', facts: { detail: expect.stringContaining('403') as string } })
    })

    test('asks all sites for a hello when a controller begins, until AWS has taken it', async () => {
      const answers = [403, null]
      aws.disturb(() => answers.shift() ?? null)
      const rollCall = createRollCall({ broker: createAwsBroker(optionsFor()), fleet, log: optionsFor().log })
      await rollCall.start()
      await rollCall.stop()
      expect(aws.publications).toEqual([{ topic: rollCallTopic(fleet), payload: '', retain: false }])
    })

    test('is what a controller on Node does with these settings', async () => {
      const data = await mkdtemp(join(tmpdir(), 'murmur-aws-node-'))
      const settings = readNodeSettings({
        MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: '0', MURMUR_AWS_IOT_ENDPOINT: aws.endpoint, MURMUR_AWS_CONTROL_ENDPOINT: aws.endpoint, MURMUR_AWS_REGION: awsAccess.region,
        MURMUR_AWS_ACCOUNT: awsAccess.account, MURMUR_AWS_ACCESS_KEY_ID: awsAccess.accessKeyId, MURMUR_AWS_SECRET_ACCESS_KEY: awsAccess.secretAccessKey,
      })
      const controller = await startNode(settings, optionsFor().log)
      await until(() => aws.publications.length > 0)
      await aws.makeDestination(`${controller.localUrl}/v1/ingest/webhook`)
      await controller.stop()
      await rm(data, { recursive: true })
      expect(aws.publications.map(({ topic }) => topic)).toEqual([rollCallTopic(fleet)])
      expect(aws.destinations.map(({ status }) => status)).toEqual(['ENABLED'])
      expect(logged.map(({ event }) => event)).toContain('subscriber.none')
    })

    test('to an endpoint that is away or says nothing acknowledges nothing, and ends in time', async () => {
      const gone = createAwsBroker(optionsFor({ endpoint: `http://127.0.0.1:${await freePort()}` }))
      expect(await gone.publish([message(north, 'grant', 'a')])).toEqual(new Set())
      const mute = createServer((socket) => void socket.on('error', () => undefined).resume())
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
      const silent = createAwsBroker(optionsFor({ endpoint: `http://127.0.0.1:${(mute.address() as AddressInfo).port}`, timeoutMs: 100 }))
      expect(await silent.publish(Array.from({ length: 50 }, (_, i) => message(north, 'grant', String(i))))).toEqual(new Set())
      await new Promise((resolve) => mute.close(resolve))
    })
  })

  describe('the registry', () => {
    test('has a thing for each site that was admitted, in the group of its fleet, and tells its agent to bring a certificate', async () => {
      const broker = createAwsBroker(optionsFor({ endpoint: aws.endpoint }))
      const credentials = await broker.admit(north, 1)
      expect(credentials).toEqual({ url: 'mqtts://127.0.0.1:8883', clientId: 'flock:north', username: '', password: '', authentication: 'certificate', reportPrefix: '$aws/rules/murmur_flock_report/' })
      expect(await broker.admit(north, 1)).toEqual(credentials)
      expect((await registry.send(new DescribeThingCommand({ thingName: 'flock:north' }))).attributes).toEqual({ site: 'north', incarnation: '1' })
      expect((await registry.send(new ListThingsInThingGroupCommand({ thingGroupName: 'murmur-flock' }))).things).toEqual(['flock:north'])
    })

    test('gives a certificate for the key of the agent, with the policy of the fleet, and takes the one before away', async () => {
      const broker = createAwsBroker(optionsFor())
      await broker.admit(north, 1)
      const first = await broker.certify(north, 1, request(north))
      expect(first).toMatchObject({ certificate: expect.stringContaining('BEGIN CERTIFICATE') as string, authority: null })
      const [held] = await principalsOf(north)
      expect((await registry.send(new DescribeCertificateCommand({ certificateId: idOf(held!) }))).certificateDescription).toMatchObject({ status: 'ACTIVE', certificatePem: first.certificate })
      expect((await registry.send(new ListAttachedPoliciesCommand({ target: held! }))).policies!.map(({ policyName }) => policyName)).toEqual(['murmur-flock-site'])
      await broker.certify(north, 1, request(north))
      expect(await principalsOf(north)).toHaveLength(1)
      expect(await principalsOf(north)).not.toEqual([held])
      expect(await certificates()).toEqual(['ACTIVE'])
    })

    test('knows no certificate of the incarnation before, nor gives it another (F31)', async () => {
      const broker = createAwsBroker(optionsFor())
      await broker.admit(north, 1)
      await broker.certify(north, 1, request(north))
      await broker.admit(north, 2)
      expect(await principalsOf(north)).toEqual([])
      expect(await certificates()).toEqual([])
      expect(await incarnationOf(north)).toBe('2')
      await expect(broker.certify(north, 1, request(north))).rejects.toMatchObject({ code: 'conflict', reason: 'not-admitted' })
      await broker.certify(north, 2, request(north))
      expect(await certificates()).toEqual(['ACTIVE'])
    })

    test('leaves the certificate alone when the same incarnation is admitted again', async () => {
      const broker = createAwsBroker(optionsFor())
      await broker.admit(north, 1)
      await broker.certify(north, 1, request(north))
      const before = await principalsOf(north)
      await broker.admit(north, 1)
      expect(await principalsOf(north)).toEqual(before)
    })

    test('knows nothing of a site that was expelled, and expelling it again is no error', async () => {
      const broker = createAwsBroker(optionsFor())
      for (const site of [north, south]) {
        await broker.admit(site, 1)
        await broker.certify(site, 1, request(site))
      }
      await broker.expel(north)
      await broker.expel(north)
      await broker.expel('west')
      await expect(incarnationOf(north)).rejects.toThrow()
      expect(await certificates()).toEqual(['ACTIVE'])
      expect(await principalsOf(south)).toHaveLength(1)
    })

    test('certifies nobody who was not admitted', async () => {
      await expect(createAwsBroker(optionsFor()).certify(north, 1, request(north))).rejects.toMatchObject({ code: 'conflict' })
      expect(await certificates()).toEqual([])
    })

    // a second incarnation in place of the first, cut off at each of its calls, and then done again
    test('cut off at any call, a second try ends as if nothing had happened (F21)', async () => {
      const broker = createAwsBroker(optionsFor())
      const way = async (): Promise<void> => {
        await broker.admit(north, 2)
        await broker.certify(north, 2, request(north))
      }
      for (let calls = 0, done = false; !done; calls++) {
        await broker.expel(north)
        await broker.admit(north, 1)
        await broker.certify(north, 1, request(north))
        let left = calls
        aws.disturb((incoming) => (incoming.url!.includes('/moto-api') || left-- > 0 ? null : 400))
        done = await way().then(() => true, () => false)
        aws.disturb(() => null)
        if (!done) await way()
        expect(await incarnationOf(north), `cut after ${calls}`).toBe('2')
        const principals = await principalsOf(north)
        expect(principals, `cut after ${calls}`).toHaveLength(1)
        // what is left over from a cut may be there, but opens nothing
        for (const { certificateArn, status } of (await registry.send(new ListCertificatesCommand({}))).certificates!) {
          const { policies } = await registry.send(new ListAttachedPoliciesCommand({ target: certificateArn! }))
          expect(certificateArn === principals[0] || status === 'INACTIVE' || policies!.length === 0, `cut after ${calls}`).toBe(true)
        }
      }
    })

    test('says in our words what AWS refuses, and what may be tried again', async () => {
      const broker = createAwsBroker(optionsFor())
      aws.disturb(() => 403)
      await expect(broker.admit(north, 1)).rejects.toMatchObject({ code: 'internal', reason: 'broker-access' })
      aws.disturb(() => 503)
      await expect(broker.admit(north, 1)).rejects.toMatchObject({ code: 'unavailable', reason: 'broker' })
      const away = createAwsBroker(optionsFor({ controlEndpoint: `http://127.0.0.1:${await freePort()}` }))
      await expect(away.expel(north)).rejects.toMatchObject({ code: 'unavailable', reason: 'broker' })
    })

    test('is asked the calls that the IAM policy of the controller allows, and every action of the policy is needed', async () => {
      const policy = controllerPolicy({ ...awsAccess, fleet })
      aws.uses.length = 0
      aws.allowOnly(policy)
      const broker = createAwsBroker(optionsFor())
      for (const incarnation of [1, 2]) {
        await broker.admit(north, incarnation)
        await broker.certify(north, incarnation, request(north))
      }
      await broker.expel(north)
      const others = [rollCallTopic(fleet), `${broker.reportPrefix}${probeTopic(fleet)}`].map((topic) => ({ key: topic, topic, payload: utf8(''), retain: false }))
      expect((await broker.publish([...downTopics.map((topic) => message(north, topic, topic)), ...others])).size).toBe(5)
      expect(aws.refusals).toEqual([])
      expect([...new Set(aws.uses.map(({ action }) => action))].sort()).toEqual(policy.Statement.flatMap((statement) => statement.Action).sort())
      // and it stops there
      expect(await createAwsBroker(optionsFor({ fleet: 'herd' as typeof fleet })).publish([{ ...message(north, 'grant', 'x'), topic: siteTopic('herd' as typeof fleet, north, 'grant') }, message(north, 'grant', 'y')])).toEqual(new Set(['y']))
      await expect(createAwsBroker(optionsFor({ fleet: 'herd' as typeof fleet })).admit(north, 1)).rejects.toMatchObject({ code: 'internal', reason: 'broker-access' })
      expect(await broker.publish([{ ...message(north, 'grant', 'z'), retain: true }])).toEqual(new Set())
    })

    test('has the policy that certificates get, as it was written', async () => {
      const { policyDocument } = await registry.send(new GetPolicyCommand({ policyName: 'murmur-flock-site' }))
      expect(JSON.parse(policyDocument!)).toHaveProperty('Statement')
    })
  })
})
