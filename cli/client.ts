import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import { Problem } from '../protocol/errors.ts'
import type { Contract, ResponseOf } from '../protocol/http/contract.ts'
import { limits } from '../protocol/limits.ts'
import { CliError } from './cli-error.ts'
import { exitOfProblem, type ExitName } from './exit-codes.ts'
import { readRetryAfterMs, retryDelayMs, type Patience } from './retry.ts'

type Part<Name extends string, S> = S extends z.ZodUndefined ? object : S extends z.ZodType ? (Record<never, never> extends z.input<S> ? { [N in Name]?: z.input<S> } : { [N in Name]: z.input<S> }) : object

/** What an operation of the contract is called with. `ifMatch` is the version the caller has seen. */
export type CallInput<C> = C extends Contract<infer P, infer Q, infer B, z.ZodType>
  ? Part<'params', P> & Part<'query', Q> & Part<'body', B> & { ifMatch?: number; idempotencyKey?: string }
  : never

type AnyInput = { params?: object; query?: object; body?: unknown; ifMatch?: number; idempotencyKey?: string }

export type Http = Patience & { fetch: typeof fetch; nowMs(): number }
export type Client = {
  url: string
  /** For requests that are not operations of the API, such as signed URLs: without the token. */
  http: Http
  /** Calls one operation. Throws CliError with the exit code of what went wrong, after trying again where that may help. */
  call<C extends Contract>(contract: C, input: CallInput<C>): Promise<ResponseOf<C>>
}

const timeoutMs = 60_000

type Failure = { exit: ExitName; message: string; details?: readonly string[]; retry: boolean; retryAfterMs: number; cause?: unknown }

/** The API as functions, typed by its contracts. */
export function createClient(options: { url: string; token: string | null } & Partial<Http> & Pick<Http, 'sleep'>): Client {
  const http: Http = { fetch: options.fetch ?? globalThis.fetch, sleep: options.sleep, random: options.random ?? Math.random, nowMs: options.nowMs ?? Date.now }
  return {
    url: options.url,
    http,
    async call(contract, input) {
      const request = writeRequest(options.url, options.token, contract, input as AnyInput)
      for (let attempt = 0; ; attempt++) {
        const answer = await callOnce(http, contract, request)
        if ('value' in answer) return answer.value as ResponseOf<typeof contract>
        const delayMs = answer.failure.retry ? retryDelayMs(attempt + 1, answer.failure.retryAfterMs, http.random()) : null
        if (delayMs === null) throw new CliError(answer.failure.exit, answer.failure.message, { details: answer.failure.details ?? [], cause: answer.failure.cause })
        await http.sleep(delayMs)
      }
    },
  }
}

type WrittenRequest = { url: string; init: RequestInit; repeatable: boolean }

function writeRequest(baseUrl: string, token: string | null, contract: Contract, input: AnyInput): WrittenRequest {
  const params = checkInput(contract.params, input.params ?? {}, 'argument')
  checkInput(contract.query, input.query ?? {}, 'option')
  const body = input.body ?? {}
  if (contract.body !== null) checkInput(contract.body, body, 'request')
  const path = contract.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])))
  const query = new URLSearchParams(Object.entries(input.query ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])))
  const headers: Record<string, string> = { accept: 'application/json' }
  if (token !== null) headers['authorization'] = `Bearer ${token}`
  if (contract.body !== null) headers['content-type'] = 'application/json'
  if (input.ifMatch !== undefined) headers['if-match'] = `"${input.ifMatch}"`
  if (contract.idempotencyKey) headers['idempotency-key'] = input.idempotencyKey ?? randomUUID()
  return {
    url: `${baseUrl}${path}${query.size === 0 ? '' : `?${query.toString()}`}`,
    init: { method: contract.method.toUpperCase(), headers, redirect: 'manual', ...(contract.body === null ? {} : { body: JSON.stringify(body) }) },
    // a lost answer says nothing about whether the request had its effect
    repeatable: contract.method === 'get' || contract.method === 'put' || contract.idempotencyKey !== false,
  }
}

/** Finds what the server would refuse before it is asked. */
function checkInput(schema: z.ZodType, value: unknown, what: string): Record<string, unknown> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data as Record<string, unknown>
  throw new CliError('usage', `the ${what} is not valid`, { details: parsed.error.issues.map((issue) => `${issue.path.join('.') || what}: ${issue.message}`) })
}

async function callOnce(http: Http, contract: Contract, { url, init, repeatable }: WrittenRequest): Promise<{ value: unknown } | { failure: Failure }> {
  let response: Response
  let text: string
  try {
    response = await http.fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) })
    text = await response.text()
  } catch (error) {
    const { code, detail } = connectionFault(error)
    return { failure: { exit: 'unreachable', message: `${new URL(url).origin} does not answer: ${detail}`, retry: repeatable || code === 'ECONNREFUSED', retryAfterMs: 0, cause: error } }
  }
  if (response.status >= 300) return { failure: readFailure(response, text, url, http.nowMs()) }
  return readAnswer(contract, response, text, url)
}

export function connectionFault(error: unknown): { code: string | undefined; detail: string } {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error)
  return { code: (cause as NodeJS.ErrnoException).code, detail: cause.message === '' ? String((cause as NodeJS.ErrnoException).code ?? cause.name) : cause.message }
}

function readAnswer(contract: Contract, response: Response, text: string, url: string): { value: unknown } | { failure: Failure } {
  const refused = (detail: string): { failure: Failure } => ({
    failure: { exit: 'failure', message: `${url} answered ${response.status} with something else than its contract says; is it a controller, and of this version?`, details: [detail], retry: false, retryAfterMs: 0 },
  })
  let value: unknown = null
  try {
    if (response.status !== 204) value = JSON.parse(text)
  } catch {
    return refused('it is not JSON')
  }
  const parsed = contract.response.safeParse(value)
  if (parsed.success) return { value: parsed.data }
  const issue = parsed.error.issues[0]!
  return refused(`${issue.path.join('.') || '(body)'}: ${issue.message}`)
}

function readFailure(response: Response, text: string, url: string, nowMs: number): Failure {
  const retryAfterMs = readRetryAfterMs(response.headers, nowMs)
  const problem = parseProblem(text)
  if (problem !== null) {
    const details = (problem.errors ?? []).map((fault) => `${fault.path}: ${fault.message}`)
    const hint = problem.code === 'unauthenticated' ? '; give --token or set MURMUR_TOKEN' : ''
    return {
      exit: exitOfProblem(problem.code, problem.reason), message: `${problem.detail}${hint}${problem.status >= 500 ? ` (request ${problem.requestId})` : ''}`,
      // the detail of a bad request repeats its errors
      details: problem.code === 'bad-request' && details.every((line) => problem.detail.includes(line)) ? [] : details, retry: problem.retry, retryAfterMs,
    }
  }
  const location = response.headers.get('location')
  if (location !== null && response.status < 400) return { exit: 'usage', message: `${url} redirects to ${location}; name the controller's own URL`, retry: false, retryAfterMs }
  const passing = [429, 502, 503, 504].includes(response.status)
  return { exit: passing ? 'unreachable' : 'failure', message: `${url} answered ${response.status} without saying why; is it a controller?`, retry: passing, retryAfterMs }
}

function parseProblem(text: string): Problem | null {
  try {
    const parsed = Problem.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

/** Every item of a list, page by page, up to `itemsMax`. */
export async function listAll<T>(readPage: (page: { limit: number; cursor?: string }) => Promise<{ items: T[]; next: string | null }>, itemsMax = Number.POSITIVE_INFINITY): Promise<T[]> {
  const items: T[] = []
  let cursor: string | null = null
  do {
    const limit = Math.min(limits.pageSizeMax, itemsMax - items.length)
    const page: { items: T[]; next: string | null } = await readPage(cursor === null ? { limit } : { limit, cursor })
    items.push(...page.items)
    cursor = page.next
  } while (cursor !== null && items.length < itemsMax)
  return items
}
