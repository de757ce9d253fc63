import { Hono } from 'hono'
import { FleetError } from '../../protocol/errors.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { contracts, type ContractId } from '../../protocol/http/contracts.ts'
import type { Deps } from '../context.ts'
import { describeError } from './describe-error.ts'
import { docsPolicy, renderDocs } from './docs.ts'
import { handlers } from './handlers.ts'
import { serveMetrics } from './metrics-route.ts'
import { openApi } from './openapi.ts'
import { problemOf, problemResponse } from './problem.ts'
import { requestIdOf, serveContract } from './serve-contract.ts'

type Serve = Parameters<typeof serveContract>[2]

/** The whole HTTP API of the controller, made from the contracts. It remembers nothing between two requests. */
export function createApp(deps: Deps): Hono {
  const app = new Hono()
  for (const [id, contract] of Object.entries(contracts) as [ContractId, Contract][]) {
    // each handler has the input of its own contract, which serveContract makes by that contract's schemas
    const serve = serveContract(deps, contract, handlers[id] as unknown as Serve)
    app.on(contract.method.toUpperCase(), contract.path.replaceAll(/\{(\w+)\}/g, ':$1'), serve)
  }
  app.get('/metrics', serveMetrics(deps))
  const pages = createPages(deps)
  const page = { 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' }
  app.get('/openapi.json', (c) => c.body(pages().document, 200, { ...page, 'content-type': 'application/json' }))
  app.get('/docs', async (c) => c.html(pages().docs, 200, { ...page, 'content-security-policy': await docsPolicy(deps.crypto) }))
  const answer = (request: Request, error: unknown): Response => {
    const requestId = requestIdOf(deps, request)
    const problem = problemOf(error, { requestId, ifMatch: false })
    if (problem.status >= 500) deps.log.write('error', 'http.failed', { requestId, route: new URL(request.url).pathname, cause: describeError(error) })
    return problemResponse(problem, deps.clock.nowMs())
  }
  app.notFound((c) => answer(c.req.raw, new FleetError('not-found', `nothing answers ${c.req.method} ${c.req.path}; the operations are listed at /docs`)))
  app.onError((error, c) => {
    const response = answer(c.req.raw, error)
    // through the context, so that headers a mounted route has set before it failed stay
    return c.newResponse(response.body, response)
  })
  return app
}

/** The two documents about the API, made when first asked for: they cost more than any request, and anybody may ask (F76). */
function createPages(deps: Deps): () => { document: string; docs: string } {
  let made: { document: string; docs: string } | undefined
  return () => {
    if (made === undefined) {
      const api = openApi(deps.config)
      made = { document: JSON.stringify(api), docs: renderDocs(api) }
    }
    return made
  }
}
