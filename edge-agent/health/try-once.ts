import { outputTail } from '../driver/run-program.ts'
import type { Clock, Host, ProcessResult } from '../host/host.ts'

/** Null when it passed, else what was wrong. */
export type Finding = string | null

export const readBytesMax = 1024 * 1024
export const commandOutputBytesMax = 4096

type HttpCheck = { url: string; status: readonly number[]; bodyContains?: string | undefined; timeout: number }

/** Up to `bytesMax` bytes of a body; leaving the loop ends the transfer. */
async function readUpTo(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    pieces.push(piece)
    length += piece.length
    if (length >= bytesMax) break
  }
  return Buffer.concat(pieces).subarray(0, bytesMax)
}

/** Asks an address. `timeout` in milliseconds. */
export async function tryHttp(host: Host, check: HttpCheck, signal: AbortSignal): Promise<Finding> {
  const response = await host.network.http({ method: 'GET', url: check.url, headers: {}, timeoutMs: check.timeout, signal })
  const body = await readUpTo(response.body, check.bodyContains === undefined ? 1 : readBytesMax)
  if (!check.status.includes(response.status)) return `answered with status ${response.status}`
  if (check.bodyContains !== undefined && !Buffer.from(body).includes(check.bodyContains)) return 'the answer does not contain the text asked for'
  return null
}

/** Whether something listens there. */
export async function tryTcp(host: Host, check: { host: string; port: number; timeout: number }): Promise<Finding> {
  return (await host.network.tcpConnects(check.host, check.port, check.timeout)) ? null : `no connection to ${check.host}:${check.port}`
}

/** What the end of a program says about what it checked. */
export function endingOf({ how, exitCode, output }: ProcessResult, timeoutMs: number): Finding {
  if (how === 'ended' && exitCode === 0) return null
  const ending = how === 'ended' ? (exitCode === null ? 'was ended by a signal' : `ended with status ${exitCode}`) : how === 'timed-out' ? `did not end within ${timeoutMs} ms` : `was ${how}`
  return `${ending} ${outputTail(output)}`.trim()
}

/** The result of `work`, or a finding once `spanMs` have passed; either way what is still running is told to stop. */
export async function within(clock: Clock, spanMs: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<Finding>): Promise<Finding> {
  const attempt = new AbortController()
  const both = AbortSignal.any([signal, attempt.signal])
  const timeUp = clock.sleep(spanMs, both).then(() => `no result within ${spanMs} ms`)
  const done = work(both)
  try {
    return await Promise.race([done, timeUp])
  } catch (error) {
    signal.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  } finally {
    timeUp.catch(() => undefined)
    done.catch(() => undefined)
    attempt.abort(new Error('the attempt is over'))
  }
}
