import * as z from 'zod'
import { concatBytes } from '../../../protocol/bytes.ts'
import { FleetError } from '../../../protocol/errors.ts'
import type { Answer, HttpSender, OutgoingRequest, SendFault } from '../../ports/http-sender.ts'
import type { Allowed } from '../../webhook/judge-address.ts'
import { resolveDestination, type Resolve } from '../resolve-destination.ts'

const judgeMs = 5_000
const resolverAnswerBytesMax = 32 * 1024
/** Types of DNS records: A and AAAA. */
const addressTypes = [1, 28]
const ResolverAnswer = z.object({ Status: z.int(), Answer: z.array(z.object({ type: z.int(), data: z.string() })).optional() })
const [found, noSuchName] = [0, 3]

/**
 * Sends with the platform's fetch, which chooses the address it connects to by itself: what a resolver says of the host is looked at just before, and
 * that fetch reaches only the public network is the platform's part. Follows no redirect. One request costs three.
 */
export function createFetchHttpSender(options: { allowed: Allowed; resolverUrl: string }): HttpSender {
  const { allowed, resolverUrl } = options
  return {
    async judge(url) {
      const resolved = await resolveDestination(url, allowed, askResolver(resolverUrl, AbortSignal.timeout(judgeMs)))
      return resolved.ok || resolved.code === 'unresolved' ? null : resolved.detail
    },
    async send(request) {
      const beganMs = performance.now()
      const deadline = AbortSignal.timeout(request.timeoutMs)
      const resolved = await resolveDestination(request.url, allowed, askResolver(resolverUrl, deadline))
      const came = resolved.ok ? await exchange(request, deadline) : { code: resolved.code, detail: resolved.detail, address: null }
      return { ...came, durationMs: Math.round(performance.now() - beganMs) }
    },
  }
}

/** DNS over HTTPS, in JSON. Both kinds of address have to be answered for: one that nobody looked at could be the one that is used. */
const askResolver = (resolverUrl: string, signal: AbortSignal): Resolve => async (host) =>
  (await Promise.all(addressTypes.map((type) => askForType(resolverUrl, host, type, signal)))).flat()

async function askForType(resolverUrl: string, host: string, type: number, signal: AbortSignal): Promise<string[]> {
  const url = new URL(resolverUrl)
  url.searchParams.set('name', host)
  url.searchParams.set('type', String(type))
  const response = await fetch(url, { headers: { accept: 'application/dns-json' }, redirect: 'manual', signal })
  const text = await readText(response, resolverAnswerBytesMax)
  if (!response.ok) throw new FleetError('unavailable', `the resolver answered ${response.status}`)
  const answer = ResolverAnswer.parse(JSON.parse(text))
  if (answer.Status !== found && answer.Status !== noSuchName) throw new FleetError('unavailable', `the resolver answered with DNS status ${answer.Status}`)
  return (answer.Answer ?? []).filter((record) => record.type === type).map((record) => record.data)
}

async function exchange(request: OutgoingRequest, deadline: AbortSignal): Promise<Omit<Answer, 'durationMs'> | Omit<SendFault, 'durationMs'>> {
  try {
    const headers = { ...request.headers, 'accept-encoding': 'identity', 'user-agent': 'murmuration' }
    const response = await fetch(request.url, { method: 'POST', headers, body: request.body, redirect: 'manual', signal: deadline })
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await readText(response, request.answerBytesMax), address: null }
  } catch (error) {
    if (deadline.aborted) return { code: 'timeout', detail: `no answer within ${request.timeoutMs} ms`, address: null }
    return { code: 'unreachable', detail: describe(error), address: null }
  }
}

/** What comes of a body until it ends, is longer than `bytesMax`, or breaks off: the status has come before it, and that is the answer. */
async function readText(response: Response, bytesMax: number): Promise<string> {
  const reader = response.body?.getReader()
  if (reader === undefined) return ''
  const chunks: Uint8Array[] = []
  let room = bytesMax
  try {
    while (room > 0) {
      const { done, value } = await reader.read()
      if (done) break
      chunks.push(value.subarray(0, room))
      room -= Math.min(room, value.length)
    }
  } catch {
    // what came before stands
  }
  void reader.cancel().catch(() => undefined)
  return new TextDecoder().decode(concatBytes(chunks))
}

function describe(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : { message: String(error), cause: undefined }
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message
}
