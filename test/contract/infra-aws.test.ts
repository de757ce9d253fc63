import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { CreatePolicyVersionCommand, GetPolicyCommand, GetTopicRuleCommand, IoTClient, ListPolicyVersionsCommand, ReplaceTopicRuleCommand, type HttpAction } from '@aws-sdk/client-iot'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAwsBroker } from '../../functions/adapters/aws/aws-broker.ts'
import { controllerPolicy } from '../../infra/aws/controller-policy.ts'
import { sitePolicy } from '../../infra/aws/site-policy.ts'
import { toBase64, utf8 } from '../../protocol/bytes.ts'
import { FleetId } from '../../protocol/ids.ts'
import { fleet, startController, type Controller } from '../support/controller.ts'
import { needs } from '../support/needs.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import { awsAccess, startAwsIot, type AwsIot } from '../support/start-aws-iot.ts'
import { until } from './broker.cases.ts'

const place = { fleet, region: awsAccess.region, account: awsAccess.account }
const program = join(import.meta.dirname, '../../infra/aws/main.ts')
const named = ['--fleet', fleet, '--region', place.region, '--account', place.account]
const webhook = 'https://fleet.test/v1/ingest/webhook'

async function run(args: readonly string[], environment: Record<string, string>): Promise<{ status: number; out: string; err: string }> {
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env.PATH ?? '', HOME: tmpdir(), ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number>((resolve) => child.once('exit', (status) => resolve(status ?? 1)))
  const [out, err, status] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { status, out, err }
}

describe('murmur infra aws', () => {
  test('prints the policy of the controller without asking anybody', async () => {
    const { status, out } = await run([...named, '--print-policy'], {})
    expect(status).toBe(0)
    expect(JSON.parse(out)).toEqual(controllerPolicy(place))
  })

  test('prints the very policy that the guide shows', async () => {
    const guide = await readFile(join(import.meta.dirname, '../../docs/deploy/aws-iot.md'), 'utf8')
    expect(JSON.parse(/```json\n([\s\S]*?)```/.exec(guide)![1]!)).toEqual(controllerPolicy({ ...place, fleet: FleetId.parse('shops') }))
  })

  test('lists everything that is missing or wrong', async () => {
    const { status, err } = await run(['--fleet', 'Not A Fleet', '--region', 'here'], {})
    expect(status).toBe(2)
    for (const name of ['--fleet', '--region', '--account', '--controller']) expect(err).toContain(name)
    expect(await run([...named, '--controller', 'http://fleet.test'], {})).toMatchObject({ status: 2, err: expect.stringContaining('https') as string })
    expect(await run(['--unknown'], {})).toMatchObject({ status: 2 })
  })
})

const { describe: describeAws } = needs('moto')

describeAws('the account that it sets up', () => {
  let aws: AwsIot
  let controller: Controller
  let registry: IoTClient
  let directory: string
  let environment: Record<string, string>
  let tokenFile: string[]
  const setUp = (...more: string[]) => run([...named, '--controller', 'https://fleet.test/', ...more], environment)
  const ruleOf = async (kind: string) => (await registry.send(new GetTopicRuleCommand({ ruleName: `murmur_practice_${kind}` }))).rule!
  const actionOf = async (kind: string): Promise<HttpAction> => (await ruleOf(kind)).actions![0]!.http!

  /** Basic Ingest as AWS's documents have it: the rule that the topics name gets them without that beginning, and posts what its SQL selects, here as one batch. */
  async function carry(published: readonly { topic: string; payload: Uint8Array }[]): Promise<Response> {
    const parts = published.map(({ topic, payload }) => ({ ...(/^\$aws\/rules\/(?<ruleName>[^/]+)\/(?<topic>.+)$/.exec(topic)!.groups as { ruleName: string; topic: string }), payload: toBase64(payload) }))
    const { rule } = await registry.send(new GetTopicRuleCommand({ ruleName: parts[0]!.ruleName }))
    const { url, headers } = rule!.actions![0]!.http!
    const body = JSON.stringify(parts.map(({ topic, payload }) => ({ payload, topic })))
    return controller.app.request(url!, { method: 'POST', body, headers: [['content-type', 'application/json'], ...headers!.map(({ key, value }): [string, string] => [key!, value!])] })
  }

  beforeAll(async () => {
    aws = await startAwsIot()
    registry = new IoTClient({ region: awsAccess.region, endpoint: aws.endpoint, credentials: awsAccess })
    environment = { AWS_ENDPOINT_URL: aws.endpoint, AWS_ACCESS_KEY_ID: awsAccess.accessKeyId, AWS_SECRET_ACCESS_KEY: awsAccess.secretAccessKey }
    directory = await mkdtemp(join(tmpdir(), 'murmur-infra-aws-'))
  })
  afterAll(async () => {
    registry.destroy()
    await aws.stop()
    await rm(directory, { recursive: true })
  })
  beforeEach(async () => {
    await aws.reset()
    controller = await startController()
    controller.deps.broker = createAwsBroker({ ...awsAccess, fleet, endpoint: aws.endpoint, controlEndpoint: aws.endpoint, log: controller.deps.log })
    aws.confirmBy(async (url, init) => controller.app.request(url as string, init))
    tokenFile = ['--token-file', join(directory, 'token')]
    await writeFile(join(directory, 'token'), `${controller.tokens.ingest}\n`)
    return () => controller.close()
  })

  test('is shown first, and stays as it is until that is wanted', async () => {
    const { status, out } = await setUp(...tokenFile)
    expect(status).toBe(0)
    for (const line of ['create  thing group murmur-practice', 'create  policy murmur-practice-site', `create  destination ${webhook}`, 'create  rule murmur_practice_report', 'create  rule murmur_practice_presence', 'Nothing was changed']) expect(out).toContain(line)
    expect(out).not.toContain(controller.tokens.ingest)
    await expect(ruleOf('report')).rejects.toThrow()
    expect(aws.destinations).toEqual([])
  })

  test('has everything afterwards, confirmed by the controller itself, and nothing to do a second time', async () => {
    const first = await setUp(...tokenFile, '--apply')
    expect(first).toMatchObject({ status: 0, err: '' })
    expect(first.out).toMatch(/MURMUR_AWS_IOT_ENDPOINT=https:\/\/\S+-ats\.iot\.eu-central-1\.amazonaws\.com/)
    expect(aws.destinations.map(({ confirmationUrl, status }) => [confirmationUrl, status])).toEqual([[webhook, 'ENABLED']])
    expect(controller.logs.map(({ event }) => event)).toContain('ingress.confirmed')
    expect(JSON.parse((await registry.send(new GetPolicyCommand({ policyName: 'murmur-practice-site' }))).policyDocument!)).toEqual(sitePolicy(place))
    expect((await ruleOf('presence')).sql).toBe("SELECT encode(*, 'base64') AS payload, topic() AS topic FROM 'murmur/v1/practice/sites/+/presence'")
    const action = await actionOf('report')
    expect(action.url!.startsWith(action.confirmationUrl!)).toBe(true)
    for (const args of [tokenFile, []]) {
      const again = await setUp(...args, '--apply')
      expect(again).toMatchObject({ status: 0, out: expect.stringContaining('Nothing to do.') as string })
      expect(again.out).not.toMatch(/^(create|change)/m)
    }
    expect(aws.refusals).toEqual([])
  })

  test('sends what sites report to the controller by the rule that their enrolment names', async () => {
    await setUp(...tokenFile, '--apply')
    const [north, south] = (await withMemoryBroker(() => enrolSites(controller, [{ id: 'north', offline: true }, { id: 'south', offline: true }]))).values()
    const { reportPrefix } = await controller.deps.broker.admit('north', 1)
    const messages = await Promise.all([north!, south!].map((site) => site.message(site.helloBody())))
    const response = await carry(messages.map(({ topic, payload }) => ({ topic: `${reportPrefix}${topic}`, payload })))
    expect([response.status, await response.json()]).toEqual([200, { accepted: 2, refused: [] }])
  })

  test("lets the doctor's message go and come back as reports do", async () => {
    await setUp(...tokenFile, '--apply')
    aws.allowOnly(controllerPolicy(place))
    const checking = controller.call('checkLinks')
    await until(() => aws.publications.length > 0)
    const [probe] = aws.publications
    expect(probe).toMatchObject({ topic: '$aws/rules/murmur_practice_report/murmur/v1/practice/sites/_probe/report', retain: false })
    await carry([{ topic: probe!.topic, payload: utf8(probe!.payload) }])
    const { checks } = (await checking).body
    expect(checks.filter(({ link }) => link === 'broker' || link === 'ingest').map(({ link, state }) => [link, state])).toEqual([['broker', 'ok'], ['ingest', 'ok']])
    expect(aws.refusals).toEqual([])
  })

  test('is mended where somebody changed it, and only there', async () => {
    await setUp(...tokenFile, '--apply')
    for (let version = 2; version <= 5; version++) await registry.send(new CreatePolicyVersionCommand({ policyName: 'murmur-practice-site', policyDocument: JSON.stringify({ ...sitePolicy(place), Statement: [{ Effect: 'Allow', Action: ['iot:*'], Resource: ['*'] }] }), setAsDefault: true }))
    const rule = await ruleOf('report')
    const errorAction = { sqs: { roleArn: 'arn:aws:iam::123456789012:role/rules', queueUrl: 'https://sqs.example.com/lost', useBase64: true } }
    await registry.send(new ReplaceTopicRuleCommand({ ruleName: rule.ruleName!, topicRulePayload: { sql: rule.sql!, actions: rule.actions!, awsIotSqlVersion: rule.awsIotSqlVersion!, ruleDisabled: true, errorAction } }))
    const { out } = await setUp('--apply')
    expect(out).toMatch(/^keep {4}thing group/m)
    expect(out).toMatch(/^change {2}policy/m)
    expect(out).toMatch(/^ +- .*"iot:\*"/m)
    expect(out).toMatch(/^change {2}rule murmur_practice_report/m)
    expect(out).toMatch(/^ +- +"ruleDisabled": true/m)
    expect(out).toMatch(/^keep {4}rule murmur_practice_presence/m)
    expect(JSON.parse((await registry.send(new GetPolicyCommand({ policyName: 'murmur-practice-site' }))).policyDocument!)).toEqual(sitePolicy(place))
    expect((await registry.send(new ListPolicyVersionsCommand({ policyName: 'murmur-practice-site' }))).policyVersions!.length).toBeLessThanOrEqual(5)
    expect(await ruleOf('report')).toMatchObject({ ruleDisabled: false, errorAction })
    expect((await setUp()).out).toContain('Nothing to do.')
  })

  test('gets another token when one is given, which the plan tells without saying it', async () => {
    await setUp(...tokenFile, '--apply')
    await writeFile(join(directory, 'token'), controller.tokens.admin)
    const { out } = await setUp(...tokenFile, '--apply')
    expect(out).toMatch(/^change {2}rule murmur_practice_report/m)
    expect(out).not.toContain(controller.tokens.admin)
    expect((await actionOf('report')).headers).toEqual([{ key: 'authorization', value: `Bearer ${controller.tokens.admin}` }])
  })

  test('is not set up without a token for the rules, and the reason is said', async () => {
    expect(await setUp('--apply')).toMatchObject({ status: 2, err: expect.stringContaining('--token-file') as string })
    await writeFile(join(directory, 'token'), 'something else')
    expect(await setUp(...tokenFile, '--apply')).toMatchObject({ status: 2, err: expect.stringContaining('holds no token') as string })
  })

  test('with a controller that does not confirm is left half-way with the reason, and goes on from there', async () => {
    aws.confirmBy(async () => new Response(null, { status: 404 }))
    const failed = await setUp(...tokenFile, '--apply')
    expect(failed).toMatchObject({ status: 1, err: expect.stringContaining('not confirmed yet (IN_PROGRESS)') as string })
    aws.confirmBy(async (url, init) => controller.app.request(url as string, init))
    const again = await setUp(...tokenFile, '--apply')
    expect(again.status).toBe(0)
    expect(again.out).toMatch(/^keep {4}policy/m)
    expect(again.out).toMatch(/^change {2}destination/m)
    expect(again.out).toContain('-   "status": "IN_PROGRESS"')
    expect(aws.destinations).toHaveLength(1)
  })

  test('refuses wrong credentials with what AWS says', async () => {
    const { status, err } = await run([...named, '--controller', 'https://fleet.test'], { ...environment, AWS_SECRET_ACCESS_KEY: 'wrong' })
    expect([status, err]).toEqual([1, expect.stringContaining('signature')])
  })

  async function withMemoryBroker<T>(work: () => Promise<T>): Promise<T> {
    const held = controller.deps.broker
    controller.deps.broker = controller.broker
    return work().finally(() => (controller.deps.broker = held))
  }
})
