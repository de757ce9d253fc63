import { createHash, createHmac, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { IoTClient } from '@aws-sdk/client-iot'
import { certificatePolicy } from '../../infra/aws/certificate-policy.ts'
import type { PolicyDocument } from '../../infra/aws/policy-document.ts'
import { thingGroup } from '../../infra/aws/thing-group.ts'
import type { FleetId } from '../../protocol/ids.ts'
import { startMoto, type ProxiedRequest } from './start-moto.ts'

export const awsAccess = { region: 'eu-central-1', account: '123456789012', accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'not a secret at all' }
export type AwsIot = Awaited<ReturnType<typeof startAwsIot>>
export type Publication = { topic: string; payload: string; retain: boolean }
/** What a test may do to an answer: a status of its own, nothing at all (`hang`), or null to let it pass. */
export type Disturb = (request: IncomingMessage) => number | 'hang' | null

type Destination = { arn: string; confirmationUrl: string; status: string; token: string }
type Use = { action: string; resource: string }

/**
 * moto's AWS IoT behind a proxy that does what moto leaves out: it computes every signature again, holds every call
 * against an IAM policy, keeps what was published, and has the destinations of topic rules with their confirmation.
 */
export async function startAwsIot() {
  let disturb: Disturb = () => null
  let policy: PolicyDocument | null = null
  const refusals: string[] = []
  const uses: Use[] = []
  const publications: Publication[] = []
  const destinations: Destination[] = []
  let post: typeof fetch = fetch

  async function serve({ request, response, read, pass }: ProxiedRequest): Promise<void> {
    const disturbed = disturb(request)
    if (disturbed === 'hang') return
    const body = await read()
    const url = new URL(request.url!, endpoint)
    if (disturbed !== null) return answer(response, disturbed, { message: 'disturbed' }, disturbed === 429 ? 'ThrottlingException' : 'InternalFailureException')
    if (url.pathname.startsWith('/confirmdestination/')) return confirm(url, response)
    const fault = checkSignature(request, url, body) ?? checkUse(usesOf(request.method!, url, body))
    if (fault !== null) {
      refusals.push(fault)
      return answer(response, 403, { message: fault }, 'ForbiddenException')
    }
    if (url.pathname.startsWith('/destinations')) return serveDestination(request.method!, url, body, response)
    const topic = /^\/topics\/([^/]+)$/.exec(url.pathname)?.[1]
    if (topic !== undefined) publications.push({ topic: decodeURIComponent(topic), payload: body.toString(), retain: url.searchParams.get('retain') === 'true' })
    pass(body)
  }

  function checkUse(wanted: readonly Use[]): string | null {
    uses.push(...wanted)
    const denied = policy === null ? undefined : wanted.find((use) => !allows(policy!, use))
    return denied === undefined ? null : `${denied.action} on ${denied.resource} is not allowed`
  }

  /** As AWS does it: whoever browses to the address has the destination enabled. */
  function confirm(url: URL, response: ServerResponse): void {
    const found = destinations.find(({ token }) => url.pathname === `/confirmdestination/${token}`)
    if (found !== undefined) found.status = 'ENABLED'
    answer(response, found === undefined ? 400 : 200, {})
  }

  const shown = ({ arn, status, confirmationUrl }: Destination) => ({ arn, status, createdAt: 0, httpUrlProperties: { confirmationUrl } })
  async function ask(destination: Destination): Promise<void> {
    const { arn, token, confirmationUrl } = destination
    const message = { arn, confirmationToken: token, enableUrl: `${endpoint}/confirmdestination/${token}`, messageType: 'DestinationConfirmation' }
    await post(`${confirmationUrl}/?confirmationToken=${token}`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-amz-rules-engine-message-type': 'DestinationConfirmation', 'x-amz-rules-engine-destination-arn': arn }, body: JSON.stringify(message) }).catch(() => undefined)
  }
  function newDestination(confirmationUrl: string): Destination {
    const made = { arn: arnOf(`ruledestination/http/${randomUUID()}`), confirmationUrl, status: 'IN_PROGRESS', token: `AYAD${randomUUID()}` }
    destinations.push(made)
    return made
  }
  function serveDestination(method: string, url: URL, body: Buffer, response: ServerResponse): void {
    const arnInPath = decodeURIComponent(url.pathname.slice('/destinations/'.length))
    if (method === 'GET' && arnInPath === '') return answer(response, 200, { destinationSummaries: destinations.map(({ arn, status, confirmationUrl }) => ({ arn, status, httpUrlSummary: { confirmationUrl } })) })
    if (method === 'GET') {
      const found = destinations.find(({ arn }) => arn === arnInPath)
      return found === undefined ? answer(response, 404, { message: 'none' }, 'ResourceNotFoundException') : answer(response, 200, { topicRuleDestination: shown(found) })
    }
    const input = JSON.parse(body.toString()) as { arn?: string; status?: string; destinationConfiguration?: { httpUrlConfiguration: { confirmationUrl: string } } }
    const held = destinations.find(({ arn }) => arn === input.arn)
    const destination = held ?? newDestination(input.destinationConfiguration!.httpUrlConfiguration.confirmationUrl)
    if (held !== undefined) Object.assign(held, { status: input.status!, token: `AYAD${randomUUID()}` })
    answer(response, method === 'POST' ? 201 : 200, { topicRuleDestination: shown(destination) })
    if (destination.status === 'IN_PROGRESS') void ask(destination)
  }

  const { motoUrl, endpoint, stop } = await startMoto(serve)
  return {
    endpoint, stop, refusals, uses, publications, destinations,
    /** From now on calls are held against this policy; null lets everything pass. */
    allowOnly: (document: PolicyDocument | null) => void (policy = document),
    disturb: (how: Disturb) => void (disturb = how),
    /** How the confirmation of a destination reaches whoever is to confirm it. */
    confirmBy: (how: typeof fetch) => void (post = how),
    /** The fleet's group of things and the policy of its certificates, as the operator's command makes them. */
    async prepare(fleet: FleetId): Promise<void> {
      const client = new IoTClient({ region: awsAccess.region, endpoint, credentials: awsAccess })
      const settings = { ...awsAccess, fleet, webhookUrl: 'https://fleet.test/v1/ingest/webhook', token: null }
      for (const part of [await thingGroup(client, settings), await certificatePolicy(client, settings)]) await part.make()
      client.destroy()
    },
    /** A destination that is to be confirmed; resolves once whoever is there has been asked. */
    makeDestination: (confirmationUrl: string) => ask(newDestination(confirmationUrl)),
    async reset(): Promise<void> {
      disturb = () => null
      policy = null
      post = fetch
      for (const list of [refusals, uses, publications, destinations]) list.length = 0
      await fetch(`${motoUrl}/moto-api/reset`, { method: 'POST' })
    },
  }
}

function answer(response: ServerResponse, status: number, body: unknown, error?: string): void {
  response.writeHead(status, { 'content-type': 'application/json', ...(error === undefined ? {} : { 'x-amzn-errortype': error }) }).end(JSON.stringify(body))
}

const arnOf = (resource: string): string => `arn:aws:iot:${awsAccess.region}:${awsAccess.account}:${resource}`

/** Which IAM actions a request needs, and on what; `*` where AWS knows no resource for the action. Empty for what only an operator calls. */
function usesOf(method: string, url: URL, body: Buffer): Use[] {
  const [, kind = '', name = '', rest = ''] = url.pathname.split('/').map(decodeURIComponent)
  const on = (action: string, resource: string): Use[] => [{ action: `iot:${action}`, resource: resource === '*' ? '*' : resource.startsWith('arn:') ? resource : arnOf(resource) }]
  const json = (): Record<string, string> => JSON.parse(body.toString()) as Record<string, string>
  switch (`${method} ${kind}${rest === '' ? '' : `/${rest}`}`) {
    case 'POST topics': return [...on('Publish', `topic/${name}`), ...(url.searchParams.get('retain') === 'true' ? on('RetainPublish', `topic/${name}`) : [])]
    case 'GET things': return on('DescribeThing', `thing/${name}`)
    case 'POST things': return on('CreateThing', `thing/${name}`)
    case 'PATCH things': return on('UpdateThing', `thing/${name}`)
    case 'DELETE things': return on('DeleteThing', `thing/${name}`)
    case 'GET things/principals': return on('ListThingPrincipals', '*')
    case 'PUT things/principals': return on('AttachThingPrincipal', '*')
    case 'DELETE things/principals': return on('DetachThingPrincipal', '*')
    case 'PUT thing-groups': return [...on('AddThingToThingGroup', `thing/${json().thingName}`), ...on('AddThingToThingGroup', `thinggroup/${json().thingGroupName}`)]
    case 'POST certificates': return on('CreateCertificateFromCsr', '*')
    case 'PUT certificates': return on('UpdateCertificate', `cert/${name}`)
    case 'DELETE certificates': return on('DeleteCertificate', `cert/${name}`)
    case 'PUT target-policies': return on('AttachPolicy', json().target!)
    case 'POST target-policies': return on('DetachPolicy', json().target!)
    default: return []
  }
}

/** Whether a name matches a pattern of a policy, in which `*` stands for anything. */
const matches = (pattern: string, name: string): boolean => new RegExp(`^${pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`).test(name)
const allows = ({ Statement }: PolicyDocument, { action, resource }: Use): boolean => Statement.some((one) => one.Action.includes(action) && one.Resource.some((pattern) => (resource === '*' ? pattern === '*' : matches(pattern, resource))))

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const digestOf = (body: Buffer | string): string => createHash('sha256').update(body).digest('hex')
const encode = (text: string): string => encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** SigV4 as AWS's documents describe it for everything but S3, written a second time; null when all is well. */
function checkSignature(request: IncomingMessage, url: URL, body: Buffer): string | null {
  const match = /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(request.headers.authorization ?? '')
  if (match === null) return 'not signed'
  const [, credential = '', signedHeaders = '', signature] = match
  const [accessKeyId, day = '', region = '', service = '', end = ''] = credential.split('/')
  const wantedService = url.pathname.startsWith('/topics/') ? 'iotdata' : 'iot'
  const date = String(request.headers['x-amz-date'])
  if (accessKeyId !== awsAccess.accessKeyId || region !== awsAccess.region || service !== wantedService || end !== 'aws4_request' || day !== date.slice(0, 8)) return `signed for ${credential}`
  const names = signedHeaders.split(';')
  if (!names.includes('host') || Object.keys(request.headers).some((name) => name.startsWith('x-amz-') && !names.includes(name))) return `headers that were not signed: ${signedHeaders}`
  const query = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&')
  const headers = names.map((name) => `${name}:${String(request.headers[name] ?? '').trim().replaceAll(/\s+/g, ' ')}\n`).join('')
  // each part of the path is encoded once more than it travels
  const path = request.url!.split('?')[0]!.split('/').map(encode).join('/')
  const canonical = [request.method, path, query, headers, signedHeaders, digestOf(body)].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', date, [day, region, service, end].join('/'), digestOf(canonical)].join('\n')
  const key = [day, region, service, end].reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${awsAccess.secretAccessKey}`)
  return hmac(key, toSign).toString('hex') === signature ? null : `the signature is not right for\n${canonical}`
}
