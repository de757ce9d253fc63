import type { Context } from 'hono'
import { FleetError } from '../../protocol/errors.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { RequestId } from '../../protocol/ids.ts'
import { controllerProtocols, protocolHeader } from '../../protocol/protocol-versions.ts'
import { newContext, type Actor, type Ctx, type Deps } from '../context.ts'
import { dispatchDirectives } from '../directive/dispatch.ts'
import { wakeWebhooks } from '../webhook/run.ts'
import { allows } from './allows.ts'
import { authenticate } from './authenticate.ts'
import { describeError } from './describe-error.ts'
import { entityTagOf, noneMatch, readIfMatch } from './entity-tag.ts'
import { withIdempotency } from './idempotency.ts'
import { problemOf, problemResponse } from './problem.ts'
import { readBody } from './read-body.ts'
import { readInput } from './read-input.ts'

type Handle = (ctx: Ctx, input: ReturnType<typeof readInput> & { ifMatch: number | null }) => Promise<unknown>
const anonymous: Actor = { name: 'anonymous', role: 'viewer' }

/** The caller's request id when it is well-formed, else a new one. */
export function requestIdOf(deps: Deps, request: Request): string {
  const offered = RequestId.safeParse(request.headers.get('x-request-id'))
  return offered.success ? offered.data : deps.ids.sortable(deps.clock.nowMs())
}

/** Serves one operation: who asks → may they → what do they ask → do it → answer, problem and log line. */
export function serveContract(deps: Deps, contract: Contract, handle: Handle): (c: Context) => Promise<Response> {
  return async (c) => {
    const request = c.req.raw
    const startedMs = deps.clock.nowMs()
    const requestId = requestIdOf(deps, request)
    let actor = anonymous
    let response: Response
    try {
      let body: Promise<Uint8Array> | undefined
      const read = (): Promise<Uint8Array> => (body ??= readBody(request, contract.bodyBytesMax))
      if (contract.access !== 'public') actor = await authenticate(deps, request, read)
      if (!allows(contract.access, actor.role)) throw new FleetError('forbidden', `this needs the role ${contract.access}, and ${actor.name} has ${actor.role}`)
      const ctx = newContext(deps, actor, requestId)
      const input = { ...readInput(contract, request, c.req.param(), await read()), ifMatch: contract.etag ? readIfMatch(request.headers) : null }
      const kind = contract.idempotencyKey
      const answer = await (kind === false ? handle(ctx, input) : withIdempotency(ctx, request, await read(), kind, (marked) => handle(marked, input)))
      response = answerResponse(contract, request, answer, requestId)
      if (contract.method !== 'get' && contract.access !== 'agent') goOnLater(ctx, contract)
    } catch (error) {
      const problem = problemOf(error, { requestId, ifMatch: contract.etag && request.headers.has('if-match') })
      if (problem.status >= 500) deps.log.write('error', 'http.failed', { requestId, route: contract.path, cause: describeError(error) })
      response = problemResponse(problem, startedMs)
    }
    const facts = { method: request.method, route: contract.path, status: response.status, ms: deps.clock.nowMs() - startedMs, actor: actor.name, requestId }
    deps.log.write('info', 'http.request', facts)
    return response
  }
}

function answerResponse(contract: Contract, request: Request, answer: unknown, requestId: string): Response {
  const headers: Record<string, string> = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-request-id': requestId }
  if (contract.tag === 'Agents') headers[protocolHeader] = String(controllerProtocols.max)
  const tag = contract.etag ? entityTagOf(answer) : null
  if (tag !== null) headers.etag = tag
  if (contract.method === 'get' && !noneMatch(request.headers, tag)) return new Response(null, { status: 304, headers })
  if (contract.status === 204) return new Response(null, { status: 204, headers })
  return new Response(JSON.stringify(answer), { status: contract.status, headers: { ...headers, 'content-type': 'application/json' } })
}

/** What a request decided goes out at once, and is told; the schedule does whatever this does not get to. What reports brought about, their ingest has told. */
function goOnLater(ctx: Ctx, contract: Contract): void {
  const sender: Ctx = { ...ctx, actor: { name: 'controller', role: 'controller' } }
  ctx.background(dispatchDirectives(sender).catch((error: unknown) => ctx.log.write('warn', 'dispatch.failed', { requestId: ctx.requestId, cause: describeError(error) })))
  if (contract.access !== 'ingest') wakeWebhooks(ctx)
}
