import type { HttpRequest, HttpResponse } from '../../edge-agent/host/host.ts'
import type { Chaos } from './chaos.ts'
import type { Client } from './broker.ts'
import { storeUrl, type SimController } from './controller.ts'
import type { Random } from './random.ts'
import { healthUrl } from './releases.ts'
import type { World } from './world.ts'

export type HttpParts = {
  world: World
  random: Random
  chaos: Chaos
  controller: SimController
  client: Client
  delayMs(): number
  /** How the health of a release's service looks at this site. */
  healthOf(version: string): boolean
}

async function* pieces(body: Uint8Array, brokenAt: number): AsyncGenerator<Uint8Array> {
  const pieceBytes = 2048
  for (let offset = 0; offset < body.length; offset += pieceBytes) {
    if (offset >= brokenAt) throw new Error('the connection broke')
    yield body.slice(offset, Math.min(offset + pieceBytes, body.length, Math.max(brokenAt, offset)))
  }
  if (brokenAt <= body.length) throw new Error('the connection broke')
}

/** One request over a site's line: it, or its answer, may be lost, late, broken off, or not be what was stored (F1–F7). */
export async function simHttp(parts: HttpParts, request: HttpRequest): Promise<HttpResponse> {
  const { world, random, chaos, controller, client } = parts
  const { signal } = request
  if (request.url.startsWith(healthUrl)) {
    await world.sleep(random.fraction() * 50, signal)
    return { status: parts.healthOf(new URL(request.url).pathname.slice(1)) ? 200 : 503, headers: {}, body: pieces(new TextEncoder().encode('ok'), Number.POSITIVE_INFINITY) }
  }
  const timeOut = async (kind: string | null): Promise<never> => {
    if (kind !== null) world.fault(kind, request.url.slice(0, 60))
    await world.sleep(request.timeoutMs, signal)
    throw new Error(`no answer within ${request.timeoutMs} ms`)
  }
  if (!client.reachable()) return timeOut(null)
  await world.sleep(parts.delayMs(), signal)
  if (random.chance(chaos.requestLost)) return timeOut('request-lost')
  if (random.chance(chaos.serverError)) {
    world.fault('server-error', request.url.slice(0, 60))
    return { status: random.pick([500, 502, 503, 429]), headers: random.chance(0.5) ? { 'retry-after': '30' } : {}, body: pieces(new Uint8Array(0), Number.POSITIVE_INFINITY) }
  }
  const answer = await controller.request(new Request(request.url, { method: request.method, headers: request.headers, ...(request.body === undefined ? {} : { body: request.body as Uint8Array<ArrayBuffer> }) }))
  if (random.chance(chaos.responseLost)) return timeOut('response-lost')
  await world.sleep(parts.delayMs(), signal)
  if (!client.reachable()) return timeOut(null)
  const body = spoil(parts, request, answer.body)
  const isBroken = random.chance(chaos.bodyTruncated)
  if (isBroken) world.fault('body-truncated', request.url.slice(0, 60))
  return { status: answer.status, headers: answer.headers, body: pieces(body, isBroken ? random.between(0, body.length) : Number.POSITIVE_INFINITY) }
}

/** A store, or a proxy in between, that gives other bytes than were put. */
function spoil({ random, chaos, world }: HttpParts, request: HttpRequest, body: Uint8Array): Uint8Array {
  const flips = random.chance(chaos.bytesFlipped)
  if (!flips || !request.url.startsWith(storeUrl) || body.length === 0) return body
  world.fault('bytes-flipped', request.url.slice(0, 60))
  const spoiled = body.slice()
  spoiled[random.between(0, body.length - 1)]! ^= 1 << random.between(0, 7)
  return spoiled
}
