import * as z from 'zod'
import { errorCodes, Problem } from '../../protocol/errors.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { Config } from '../context.ts'
import { examples } from './examples.ts'
import { createSchemas, type JsonSchema } from './json-schemas.ts'

export type Parameter = { name: string; in: 'path' | 'query' | 'header'; required: boolean; description?: string; schema: JsonSchema }
export type Operation = {
  operationId: string; tags: string[]; summary: string; description: string; security: Record<string, never[]>[]; parameters: Parameter[]
  requestBody?: { required: boolean; content: { 'application/json': { schema: JsonSchema; example: unknown } } }
  responses: Record<string, { description: string; headers?: JsonSchema; content?: Record<string, { schema: JsonSchema }> } | { $ref: string }>
}
export type OpenApi = {
  openapi: string; info: { title: string; version: string; description: string }; servers: { url: string }[]; tags: { name: string; description: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, JsonSchema>; responses: JsonSchema; securitySchemes: JsonSchema }
}

const tagDescriptions: Record<string, string> = {
  Sites: 'Edge clusters, one agent each: add them, describe them, hand out claims, ask why they stand still.',
  Releases: 'Signed manifests and their bytes, from announcement to withdrawal.',
  Rollouts: 'One target taken to a selection of sites, wave by wave.',
  Alarms: 'Fault conditions that stand until they clear.',
  Events: 'The audit trail.',
  Tokens: 'Who may call this API.',
  Trust: 'What the offline root key says about all other keys.',
  Ingress: 'Where a broker hands over what sites report.',
  Agents: 'What agents call. Requests are signed with the site\'s own key.',
  Operations: 'Whether this process is well.',
}

/** OpenAPI 3.1 of the whole API, made from the contracts. */
export function openApi(config: Pick<Config, 'publicUrl' | 'version'>): OpenApi {
  const schemas = createSchemas()
  const paths: OpenApi['paths'] = {}
  const all: Contract[] = Object.values(contracts)
  for (const contract of all) (paths[contract.path] ??= {})[contract.method] = operationOf(contract, schemas)
  const problem = { description: 'A problem', content: { 'application/problem+json': { schema: schemas.of(Problem, 'output') } } }
  return {
    openapi: '3.1.0',
    info: { title: 'Murmuration', version: config.version, description: 'The controller of a fleet of edge sites: signed releases, staged rollouts, and the reason for everything that does not move.' },
    servers: [{ url: config.publicUrl }],
    tags: [...new Set(all.map((contract) => contract.tag))].map((name) => ({ name, description: tagDescriptions[name] ?? '' })),
    paths,
    components: {
      schemas: schemas.components,
      responses: { Problem: problem },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token of the form mm_ and 40 hexadecimal digits.' },
        agent: { type: 'apiKey', in: 'header', name: 'authorization', description: 'Murmur-Agent site=…,incarnation=…,time=…,nonce=…,sig=…: an Ed25519 signature over method, path, body digest, time and nonce.' },
      },
    },
  }
}

function operationOf(contract: Contract, schemas: ReturnType<typeof createSchemas>): Operation {
  const { access } = contract
  const response = contract.status === 204 ? undefined : { 'application/json': { schema: schemas.of(contract.response, 'output') } }
  const headers = contract.etag && response !== undefined ? { ETag: { description: 'The version of what is shown', schema: { type: 'string' } } } : undefined
  const body = contract.body === null ? undefined : {
    required: !contract.body.safeParse({}).success,
    content: { 'application/json': { schema: schemas.of(contract.body, 'input'), example: (examples as Record<string, unknown>)[contract.id] } },
  }
  return {
    operationId: contract.id, tags: [contract.tag], summary: contract.summary, description: describeAccess(access),
    security: access === 'public' ? [] : [access === 'agent' ? { agent: [] } : { token: [] }],
    parameters: [...parametersOf(contract.params, 'path', schemas), ...parametersOf(contract.query, 'query', schemas), ...headerParameters(contract)],
    requestBody: body,
    responses: { [contract.status]: { description: statusTexts[contract.status], headers, content: response }, ...problemResponses(contract) },
  }
}

const statusTexts: Record<Contract['status'], string> = { 200: 'Done', 201: 'Made', 202: 'Accepted; it goes on after the answer', 204: 'Done, and nothing to say' }

function describeAccess(access: Contract['access']): string {
  if (access === 'public') return 'Needs no credentials.'
  return access === 'agent' ? 'For agents of enrolled sites.' : `Needs the role ${access}.`
}

function parametersOf(schema: z.ZodType, place: 'path' | 'query', schemas: ReturnType<typeof createSchemas>): Parameter[] {
  const { properties = {}, required = [] } = schemas.of(schema, 'input') as { properties?: Record<string, JsonSchema>; required?: string[] }
  return Object.entries(properties).map(([name, property]) => ({ name, in: place, required: place === 'path' || required.includes(name), schema: property }))
}

function headerParameters(contract: Contract): Parameter[] {
  const header = (name: string, description: string): Parameter => ({ name, in: 'header', required: false, description, schema: { type: 'string' } })
  return [
    ...(contract.etag && contract.method === 'get' ? [header('If-None-Match', 'An ETag; 304 when it is still right')] : []),
    ...(contract.etag && contract.method !== 'get' ? [header('If-Match', 'The ETag this change is based on; 412 when it is another by now')] : []),
    ...(contract.idempotencyKey ? [header('Idempotency-Key', 'The same key and body within a day get the first answer again')] : []),
  ]
}

function problemResponses(contract: Contract): Record<string, { $ref: string }> {
  const statuses = Object.values(errorCodes).map(({ status }) => status).filter((status) => {
    if (status === 401 || status === 403) return contract.access !== 'public' || contract.id === 'enrol'
    if (status === 412) return contract.etag && contract.method !== 'get'
    if (status === 409 || status === 413 || status === 422) return contract.method !== 'get'
    return status !== 429
  })
  return Object.fromEntries(statuses.map((status) => [String(status), { $ref: '#/components/responses/Problem' }]))
}
