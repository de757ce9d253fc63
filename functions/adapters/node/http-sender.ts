import { lookup } from 'node:dns/promises'
import { Agent as HttpAgent, request as requestPlain, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as requestOverTls } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Allowed, Destination } from '../../webhook/judge-address.ts'
import type { Answer, HttpSender, OutgoingRequest, SendFault } from '../../ports/http-sender.ts'
import { resolveDestination, type Resolve } from '../resolve-destination.ts'

const judgeMs = 5_000
const headerBytesMax = 16 * 1024
const systemResolver: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

/**
 * Sends from this machine. Each request resolves its host once, and connects to an address that was looked at and to no other; it has its own
 * connection, follows no redirect, goes through no proxy, and ends with everything it opened after `timeoutMs`.
 */
export function createNodeHttpSender(options: { allowed: Allowed; resolve?: Resolve }): HttpSender {
  const { allowed, resolve = systemResolver } = options
  // of their own: the process's agents may be told to use a proxy and to believe any certificate, and keep connections
  const agents = { 'http:': new HttpAgent({ keepAlive: false }), 'https:': new HttpsAgent({ keepAlive: false, rejectUnauthorized: true }) }
  return {
    async judge(url) {
      const resolved = await within(judgeMs, resolveDestination(url, allowed, resolve))
      return resolved === null || resolved.ok || resolved.code === 'unresolved' ? null : resolved.detail
    },
    async send(request) {
      const beganMs = performance.now()
      const elapsedMs = (): number => Math.round(performance.now() - beganMs)
      const resolved = await within(request.timeoutMs, resolveDestination(request.url, allowed, resolve))
      if (resolved === null) return { code: 'timeout', detail: `no resolver answered within ${request.timeoutMs} ms`, address: null, durationMs: elapsedMs() }
      if (!resolved.ok) return { code: resolved.code, detail: resolved.detail, address: null, durationMs: elapsedMs() }
      const { to, addresses } = resolved
      const agent = to.url.protocol === 'https:' ? agents['https:'] : agents['http:']
      const came = await exchange({ ...requestOptions(to, addresses, request), agent }, request, request.timeoutMs - elapsedMs())
      return { ...came, durationMs: elapsedMs() }
    },
  }
}

/** What `work` resolves with, or null when that takes too long. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T | null> {
  const { promise, resolve } = Promise.withResolvers<null>()
  const timer = setTimeout(() => resolve(null), timeoutMs)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

function requestOptions(to: Destination, addresses: readonly string[], request: OutgoingRequest): RequestOptions & { servername?: string } {
  const pinned = addresses.map((address) => ({ address, family: isIP(address) }))
  const lookupPinned: LookupFunction = (_, { all }, done) => (all === true ? done(null, pinned) : done(null, pinned[0]!.address, pinned[0]!.family))
  const { url } = to
  const body = Buffer.byteLength(request.body)
  return {
    method: 'POST', protocol: url.protocol, hostname: to.host, port: url.port, path: `${url.pathname}${url.search}`,
    headers: { ...request.headers, host: url.host, 'content-length': body, 'accept-encoding': 'identity', 'user-agent': 'murmuration', connection: 'close' },
    lookup: lookupPinned, maxHeaderSize: headerBytesMax, ...(to.literal ? {} : { servername: to.host }),
  }
}

type Came = Omit<Answer, 'durationMs'> | Omit<SendFault, 'durationMs'>

/** One request and its answer. Once a status has come that is the answer, however its body ends: cut, broken off, or never. */
function exchange(options: RequestOptions, request: OutgoingRequest, timeoutMs: number): Promise<Came> {
  const { promise, resolve } = Promise.withResolvers<Came>()
  const sent: ClientRequest = (options.protocol === 'https:' ? requestOverTls : requestPlain)(options)
  let address: string | null = null
  let soFar: (() => Came) | null = null
  const finish = (came: Came): void => {
    clearTimeout(timer)
    sent.destroy()
    resolve(came)
  }
  const fail = (code: SendFault['code'], detail: string): void => finish(soFar?.() ?? { code, detail, address })
  const timer = setTimeout(() => fail('timeout', `no answer within ${request.timeoutMs} ms`), Math.max(0, timeoutMs))
  sent.on('socket', (socket) => socket.once('connect', () => (address = socket.remoteAddress ?? null)))
  sent.on('error', (error: NodeJS.ErrnoException) => fail(faultCodeOf(error, address !== null), describe(error)))
  sent.on('close', () => fail('broken', 'the connection ended without an answer'))
  sent.on('response', (response) => {
    const collected = collect(response, request.answerBytesMax)
    soFar = () => ({ status: response.statusCode ?? 0, headers: plainHeaders(response), body: collected.text(), address })
    collected.ended.then(() => finish(soFar!()), () => finish(soFar!()))
  })
  sent.end(request.body)
  return promise
}

/** The body as it comes, up to `bytesMax`; never unpacked. `ended` when it is whole, cut, or broken off. */
function collect(response: IncomingMessage, bytesMax: number): { text(): string; ended: Promise<void> } {
  const chunks: Buffer[] = []
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  let room = bytesMax
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk.subarray(0, room))
    room -= Math.min(room, chunk.length)
    if (room === 0) resolve()
  })
  for (const event of ['end', 'close', 'error']) response.on(event, () => resolve())
  return { ended, text: () => Buffer.concat(chunks).toString() }
}

const plainHeaders = (response: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]))

const describe = (error: NodeJS.ErrnoException): string => (error.message === '' ? (error.code ?? error.name) : error.message)

/** Which sort of fault it was. A handshake fails with OpenSSL's own codes, which have nothing in common but that the connection stood. */
function faultCodeOf(error: NodeJS.ErrnoException, connected: boolean): SendFault['code'] {
  const code = error.code ?? ''
  if (/^ERR_(?:TLS|SSL)|CERT|SIGNATURE|^EPROTO$/.test(code)) return 'tls'
  return connected || code.startsWith('HPE_') ? 'broken' : 'unreachable'
}
