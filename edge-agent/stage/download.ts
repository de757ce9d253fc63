import { agentContracts } from '../../protocol/http/agent.ts'
import type { Digest } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { FileError, type Host, type HttpResponse } from '../host/host.ts'
import { backoffMs } from '../link/backoff.ts'
import { ControllerError, type Controller } from '../link/controller.ts'
import { explain } from '../log.ts'
import { StepError } from '../step-error.ts'

/** Bytes `offset` to `offset + length` of a stored object. */
export type Wanted = { object: Digest; objectBytes: number; offset: number; length: number }

const requestMs = 60_000
/** Failures in a row without one new byte. */
const failuresMax = 6
const pauseMs = { base: 1000, max: 60_000 }
/** URLs asked for at once: few, so that the last is used before it ends. */
const lotMax = 50

type SignedUrl = { url: string; headers: Record<string, string>; untilMonotonicMs: number }

export interface Downloader {
  /** The objects that will be asked for, in their order: their URLs are then fetched in lots. */
  announce(objects: readonly Digest[]): void
  /** Fetches a range to a file, going on where an earlier try or life ended, and returns the file's path. Its bytes are not verified. */
  fetch(wanted: Wanted, signal: AbortSignal, onBytes: (count: number) => void): Promise<string>
  discard(wanted: Wanted): Promise<void>
}

/** An answer that is not the bytes asked for. `renew`: the URL may have ended. `anew`: what is on the disk does not fit. `missing`: the store has no such object. */
class Unusable extends Error {
  readonly renew: boolean
  readonly anew: boolean
  readonly missing: boolean
  constructor(detail: string, more: { renew?: boolean; anew?: boolean; missing?: boolean } = {}) {
    super(detail)
    this.renew = more.renew ?? false
    this.anew = more.anew ?? false
    this.missing = more.missing ?? false
  }
}

export function createDownloader(host: Host, controller: Controller, directory: string): Downloader {
  const urls = new Map<Digest, SignedUrl>()
  const etags = new Map<Digest, string>()
  let announced: readonly Digest[] = []
  const pathOf = (wanted: Wanted): string => `${directory}/${wanted.object}-${wanted.offset}-${wanted.length}`
  const isFresh = (object: Digest): boolean => (urls.get(object)?.untilMonotonicMs ?? 0) > host.clock.monotonicMs()

  async function urlOf(object: Digest, signal: AbortSignal): Promise<SignedUrl> {
    if (!isFresh(object)) {
      const rest = announced.slice(announced.indexOf(object) + 1).filter((each) => each !== object && !isFresh(each))
      const objects = [object, ...new Set(rest)].slice(0, lotMax)
      const untilMonotonicMs = host.clock.monotonicMs() + limits.urlLifeMs / 2
      const { downloads } = await controller.callUntil(agentContracts.signDownloads, { body: { objects } }, signal)
      for (const { object: named, url, headers } of downloads) urls.set(named, { url, headers, untilMonotonicMs })
    }
    const signed = urls.get(object)
    if (signed === undefined) throw new StepError({ code: 'not-stored', detail: `the controller gives no URL for object ${object}` })
    return signed
  }

  /** Asks for what is missing and appends it, as it comes, to the file. */
  async function tryOnce(wanted: Wanted, signal: AbortSignal, onBytes: (count: number) => void): Promise<void> {
    const path = pathOf(wanted)
    const have = (await host.files.facts(path))?.size ?? 0
    if (have > wanted.length) throw new Unusable('the file is longer than the range', { anew: true })
    if (have === wanted.length) return
    const { url, headers } = await urlOf(wanted.object, signal)
    const etag = etags.get(wanted.object)
    const first = wanted.offset + have
    const range = { range: `bytes=${first}-${wanted.offset + wanted.length - 1}`, ...(etag !== undefined && have > 0 ? { 'if-range': etag } : {}) }
    const response = await host.network.http({ method: 'GET', url, headers: { ...headers, ...range }, timeoutMs: requestMs, signal })
    checkStatus(response, first)
    const given = response.headers.etag
    if (given !== undefined && !given.startsWith('W/')) etags.set(wanted.object, given)
    // 200: the whole object, from its first byte, whatever was asked for (F34).
    if (response.status === 200 && have > 0) await host.files.truncate(path, 0)
    await appendBody(response, response.status === 200 ? { skip: wanted.offset, take: wanted.length } : { skip: 0, take: wanted.length - have }, path, onBytes)
  }

  async function appendBody(response: HttpResponse, part: { skip: number; take: number }, path: string, onBytes: (count: number) => void): Promise<void> {
    let { skip, take } = part
    for await (const piece of response.body) {
      const skipped = Math.min(skip, piece.length)
      skip -= skipped
      const useful = piece.subarray(skipped, skipped + take)
      take -= useful.length
      if (useful.length > 0) {
        await host.files.append(path, useful)
        onBytes(useful.length)
      }
      if (take === 0) return
    }
    throw new Unusable('the body ended early')
  }

  return {
    announce(objects) {
      announced = objects
      const wanted = new Set(objects)
      for (const known of [urls, etags]) for (const object of known.keys()) if (!wanted.has(object)) known.delete(object)
    },
    discard: (wanted) => host.files.remove(pathOf(wanted)),
    async fetch(wanted, signal, onBytes) {
      for (let failures = 0; ; ) {
        let progressed = false
        try {
          await tryOnce(wanted, signal, (count) => {
            progressed = true
            onBytes(count)
          })
          return pathOf(wanted)
        } catch (error) {
          signal.throwIfAborted()
          if (isFinal(error)) throw error
          if (error instanceof Unusable && error.renew) urls.delete(wanted.object)
          if (error instanceof Unusable && error.anew) {
            etags.delete(wanted.object)
            await host.files.remove(pathOf(wanted))
          }
          failures = progressed ? 1 : failures + 1
          if (failures > failuresMax) throw new StepError({ code: error instanceof Unusable && error.missing ? 'object-missing' : 'download-failed', detail: `object ${wanted.object}: ${explain(error)}` }, { cause: error })
          await host.clock.sleep(backoffMs(failures, pauseMs, host.random), signal)
        }
      }
    },
  }
}

/** Not worth another try: a disk that is full, or a controller that was asked with patience already. */
const isFinal = (error: unknown): boolean => error instanceof StepError || error instanceof FileError || error instanceof ControllerError

function checkStatus(response: HttpResponse, first: number): void {
  const { status } = response
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1]
    if (start !== undefined && Number(start) !== first) throw new Unusable(`the range begins at ${start}, not ${first}`, { anew: true })
    return
  }
  if (status === 200) return
  if (status === 401 || status === 403) throw new Unusable(`status ${status}: the URL may have ended`, { renew: true })
  if (status === 416 || status === 412) throw new Unusable(`status ${status}: the object is not what it was`, { anew: true })
  if (status === 404 || status === 410) throw new Unusable('the object store does not have it', { missing: true })
  throw new Unusable(`status ${status}`)
}
