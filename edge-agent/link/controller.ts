import { concatBytes, fromUtf8, toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { controllerTimeHeader, signAgentRequest } from '../../protocol/http/agent-signature.ts'
import type { BodyInput, Contract, ParamsOf, ResponseOf } from '../../protocol/http/contract.ts'
import { limits } from '../../protocol/limits.ts'
import { protocolHeader } from '../../protocol/protocol-versions.ts'
import { Problem } from '../../protocol/errors.ts'
import type { SiteId } from '../../protocol/ids.ts'
import type { Host, HttpResponse } from '../host/host.ts'
import { explain } from '../log.ts'
import { backoffMs } from './backoff.ts'

const requestMs = 30_000
const attemptsMax = 5
const pauseMs = { base: 1000, max: 60_000 }

/** A call that was not answered as it should be. `status` is 0 where no answer came. */
export class ControllerError extends Error {
  readonly status: number
  readonly reason: string
  readonly retry: boolean
  constructor(status: number, reason: string, detail: string, retry: boolean) {
    super(detail)
    this.name = 'ControllerError'
    this.status = status
    this.reason = reason
    this.retry = retry
  }
}

/** Who calls. `answered` is told of each signed request that was, `told` which protocol version the controller speaks, `refused` when it says that this is not the site's agent any more (F31). */
export type Caller = { site: SiteId; incarnation: number; privateKey: Uint8Array; answered?(): void; told?(protocol: number): void; refused(reason: string): Promise<void> }
/** Reasons of a 401 that no other signature of this agent can cure. */
const refusals = new Set(['fenced', 'not-enrolled'])
type Input<C> = (BodyInput<C> extends undefined ? { body?: undefined } : { body: BodyInput<C> }) & { params?: ParamsOf<C> }

export interface Controller {
  /** Calls an operation, with patience: what may help to repeat is repeated with growing pauses, a few times. Throws ControllerError. */
  call<C extends Contract>(contract: C, input: Input<C>, signal?: AbortSignal): Promise<ResponseOf<C>>
  /** The same until the signal comes: for work that has a deadline of its own, which a controller that is away for a while must not end. */
  callUntil<C extends Contract>(contract: C, input: Input<C>, signal: AbortSignal): Promise<ResponseOf<C>>
}

type Answer = { response: HttpResponse; text: string }

/** The controller's HTTPS side. `caller` signs what only an enrolled site may ask; null before enrolment. */
export function createController(host: Host, crypto: Crypto, baseUrl: string, caller: Caller | null): Controller {
  /** Added to the wall clock in signatures, as the controller said; a clock in 1970 locks nobody out (F30). */
  let offsetMs = 0

  async function send(contract: Contract, path: string, body: Uint8Array, signal?: AbortSignal): Promise<Answer> {
    const headers: Record<string, string> = { accept: 'application/json', ...(body.length > 0 ? { 'content-type': 'application/json' } : {}) }
    const url = `${baseUrl}${path}`
    if (contract.access === 'agent') {
      if (caller === null) throw new Error(`${contract.id} needs an enrolled site`)
      const who = { site: caller.site, incarnation: caller.incarnation, timeMs: Math.max(0, Math.round(host.clock.nowMs() + offsetMs)), nonce: toHex(host.random.bytes(16)) }
      headers.authorization = await signAgentRequest(crypto, caller.privateKey, contract.method, pathOf(url), body, who)
    }
    const request = { method: contract.method.toUpperCase(), url, headers, timeoutMs: requestMs, ...(body.length > 0 ? { body } : {}), ...(signal ? { signal } : {}) }
    const response = await host.network.http(request)
    return { response, text: fromUtf8(await readAll(response.body, limits.httpBodyBytesMax)) }
  }

  const isSkewed = (theirsMs: number): boolean => Number.isSafeInteger(theirsMs) && Math.abs(theirsMs - (host.clock.nowMs() + offsetMs)) > limits.agentClockSkewMs / 2

  async function attempt<C extends Contract>(contract: C, path: string, body: Uint8Array, signal?: AbortSignal): Promise<ResponseOf<C>> {
    let answer = await send(contract, path, body, signal)
    const theirsMs = Number(answer.response.headers[controllerTimeHeader])
    if (answer.response.status === 401 && isSkewed(theirsMs)) {
      offsetMs = theirsMs - host.clock.nowMs()
      answer = await send(contract, path, body, signal)
    }
    if (answer.response.status !== contract.status) {
      const failure = failureOf(answer)
      if (failure.status === 401 && refusals.has(failure.reason)) await caller?.refused(failure.reason)
      throw failure
    }
    const parsed = contract.response.safeParse(jsonOf(answer.text))
    if (!parsed.success) throw new ControllerError(answer.response.status, 'not-understood', `${contract.id} was answered with something else: ${answer.text.slice(0, 100)}`, true)
    // only here: what a proxy answers in the controller's place has no such header
    caller?.told?.(protocolOf(answer.response.headers))
    if (contract.access === 'agent') caller?.answered?.()
    return parsed.data as ResponseOf<C>
  }

  async function repeat<C extends Contract>(contract: C, input: Input<C>, triesMax: number, signal?: AbortSignal): Promise<ResponseOf<C>> {
    const path = fillPath(contract.path, input.params as Record<string, string> | undefined)
    const body = input.body === undefined ? new Uint8Array(0) : utf8(JSON.stringify(input.body))
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(contract, path, body, signal)
      } catch (error) {
        signal?.throwIfAborted()
        const failure = error instanceof RetryLater || error instanceof ControllerError ? error : new ControllerError(0, 'unreachable', explain(error), true)
        if (!failure.retry || tries >= triesMax) throw failure
        const floorMs = failure instanceof RetryLater ? failure.afterMs : 0
        await host.clock.sleep(Math.max(floorMs, backoffMs(tries, pauseMs, host.random)), signal)
      }
    }
  }

  return {
    call: (contract, input, signal) => repeat(contract, input, attemptsMax, signal),
    callUntil: (contract, input, signal) => repeat(contract, input, Number.POSITIVE_INFINITY, signal),
  }
}

/** A refusal that names the earliest time to ask again. */
class RetryLater extends ControllerError {
  readonly afterMs: number
  constructor(status: number, reason: string, detail: string, afterMs: number) {
    super(status, reason, detail, true)
    this.afterMs = afterMs
  }
}

function failureOf({ response, text }: Answer): ControllerError {
  const problem = Problem.safeParse(jsonOf(text))
  const retry = problem.success ? problem.data.retry : response.status >= 500 || response.status === 429 || response.status === 408
  const reason = problem.success ? (problem.data.reason ?? problem.data.code) : `status-${response.status}`
  const detail = problem.success ? `${response.status} ${problem.data.detail}` : `${response.status} ${text.slice(0, 100)}`
  const afterS = Number(response.headers['retry-after'])
  return retry && Number.isFinite(afterS) && afterS > 0 ? new RetryLater(response.status, reason, detail, Math.min(afterS, 3600) * 1000) : new ControllerError(response.status, reason, detail, retry)
}

/** Without the header it is 1 (SPEC §3.4). */
const protocolOf = (headers: Record<string, string>): number => Math.max(1, Number.parseInt(headers[protocolHeader] ?? '1', 10) || 1)

const pathOf = (url: string): string => {
  const { pathname, search } = new URL(url)
  return pathname + search
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const fillPath = (template: string, params: Record<string, string> = {}): string => template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))

/** A body in one piece; one that is longer than it may be is not read on (F7). */
async function readAll(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    length += piece.length
    if (length > bytesMax) throw new ControllerError(0, 'too-long', `more than ${bytesMax} bytes came`, false)
    pieces.push(piece)
  }
  return concatBytes(pieces)
}
