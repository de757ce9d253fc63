import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'

type Fetch = (request: Request) => Response | Promise<Response>

const lastAnswersMs = 5000

/**
 * An HTTP server that listens at once, so that its address is known, and answers 503 until it is given what serves.
 * Throws with a plain message when the port is taken.
 */
export async function serveHttp(host: string, port: number): Promise<{ url: string; use(fetch: Fetch): void; close(): Promise<void> }> {
  let serve: Fetch = () => new Response('the controller is starting\n', { status: 503, headers: { 'retry-after': '1' } })
  const server = createAdaptorServer({ fetch: (request) => serve(request), overrideGlobalObjects: false }) as Server
  // uploads may take as long as they take; headers still have to come within Node's own minute
  server.requestTimeout = 0
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? new Error(`port ${port} of ${host} is taken: another controller runs, or set another PORT`) : error))
    server.listen(port, host, () => resolve())
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    use(fetch) {
      serve = fetch
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      const patience = setTimeout(() => server.closeAllConnections(), lastAnswersMs)
      await closed
      clearTimeout(patience)
    },
  }
}
