import { createFetchHttpSender } from '../../functions/adapters/cloudflare/http-sender.ts'
import type { OutgoingRequest } from '../../functions/ports/http-sender.ts'
import { parseAllowed } from '../../functions/webhook/judge-address.ts'

/** What the Worker is asked to do: judge a URL, or send a request. */
export type Errand = { allowed: string; resolverUrl: string } & ({ judge: string } | { send: OutgoingRequest })

/** The Worker's sender by itself. */
export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method !== 'POST') return new Response('ready')
    const errand: Errand = await request.json()
    const allowed = parseAllowed(errand.allowed)
    if (!allowed.ok) return new Response(allowed.refusal, { status: 400 })
    const sender = createFetchHttpSender({ allowed: allowed.value, resolverUrl: errand.resolverUrl })
    return Response.json('judge' in errand ? await sender.judge(errand.judge) : await sender.send(errand.send))
  },
}
