import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One HTTP request to a libSQL server, which is one round trip of a client: `n` counts them from 1, `body` is Hrana's JSON. */
export type DatabaseRequest = { n: number; method: string; path: string; body: string }

/**
 * What becomes of a request: it passes; its connection is cut before the server has seen it, or after the server has done
 * it and before the client hears so (F52); or it is answered here, without the server.
 */
export type DatabaseAnswer = { status: number; body: string; contentType?: string }
export type DatabaseFate = 'pass' | 'cut-before' | 'cut-after' | DatabaseAnswer
export type DecideFate = (request: DatabaseRequest) => DatabaseFate | Promise<DatabaseFate>

/** A proxy in front of a libSQL server. `decide` may be replaced at any time; `count` is of all requests so far. */
export type DatabaseProxy = { readonly url: string; decide: DecideFate; readonly count: number; readonly inFlight: number; close(): Promise<void> }

/** Starts one on a free port of the loopback. */
export async function startDatabaseProxy(targetUrl: string, decide: DecideFate = () => 'pass'): Promise<DatabaseProxy> {
  let count = 0
  let inFlight = 0
  const server = createServer((request, response) => {
    inFlight++
    void handle(request, response)
      .catch(() => response.destroy())
      .finally(() => inFlight--)
  })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readAll(request)
    const { method = 'GET', url: path = '/' } = request
    const fate = await proxy.decide({ n: ++count, method, path, body })
    if (fate === 'cut-before') return void response.destroy()
    const answer = typeof fate === 'object' ? fate : await pass(method, path, request, body)
    if (fate === 'cut-after') return void response.destroy()
    response.writeHead(answer.status, { 'content-type': answer.contentType ?? 'application/json' }).end(answer.body)
  }

  async function pass(method: string, path: string, request: IncomingMessage, body: string): Promise<DatabaseAnswer> {
    const headers = { 'content-type': request.headers['content-type'] ?? 'application/json', ...(request.headers.authorization === undefined ? {} : { authorization: request.headers.authorization }) }
    const answer = await fetch(new URL(path, targetUrl), { method, headers, ...(method === 'GET' ? {} : { body }) })
    return { status: answer.status, body: await answer.text(), contentType: answer.headers.get('content-type') ?? 'text/plain' }
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: DatabaseProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide,
    get count() {
      return count
    },
    get inFlight() {
      return inFlight
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
  return proxy
}

async function readAll(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString()
}

/** The answer of a server that refuses every statement of this request with an SQLite error, such as `SQLITE_BUSY`: nothing was done. */
export function refuseStatements(request: DatabaseRequest, code: string, message: string): DatabaseAnswer {
  const { requests } = JSON.parse(request.body) as { requests: { type: string }[] }
  const results = requests.map(({ type }) => (type === 'close' ? { type: 'ok', response: { type } } : { type: 'error', error: { message, code } }))
  return { status: 200, body: JSON.stringify({ baton: null, base_url: null, results }) }
}
