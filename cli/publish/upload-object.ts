import { openAsBlob } from 'node:fs'
import type { StoredObject } from '../../artifact/store-objects.ts'
import type { Digest } from '../../protocol/ids.ts'
import { CliError } from '../cli-error.ts'
import { connectionFault, type Http } from '../client.ts'
import { readRetryAfterMs, retryDelayMs } from '../retry.ts'

export type SignedUpload = { method: string; url: string; headers: Record<string, string> }
/** What one signed request brings: `size` bytes of the file from `start` on. `digest` is that of the whole object, whose file has `fileBytes`. */
export type Piece = { digest: Digest; path: string; fileBytes: number; start: number; size: number }

export const wholeOf = (object: StoredObject): Piece => ({ ...object, fileBytes: object.size, start: 0 })

/** Objects from this size on are asked for what the store has of them before anything is sent. */
const askFirstBytes = 1024 * 1024
/** Without a byte for so long, a connection counts as lost. */
const silenceMs = 60_000

/** `offset` is where to go on, null when that has to be asked; `detail` is what went wrong, null when nothing did. */
type Attempt = { done: true } | { done: false; offset: number | null; renew: boolean; retryAfterMs: number; detail: string | null }

/**
 * Puts one object, or a part of one, into the store under its signed URL, going on where an earlier attempt broke off if the store says where
 * that is. `renew` gives a new URL when the old one has expired, or null when the object is there meanwhile. `onBytes` is
 * told how many of the object's bytes the store has or is being sent. Throws CliError, `not-verified` when the store finds
 * that the bytes are not those that were announced.
 */
export async function uploadObject(http: Http, object: Piece, first: SignedUpload, renew: () => Promise<SignedUpload | null>, onBytes: (bytes: number) => void): Promise<void> {
  let request: SignedUpload | null = first
  // null: not known, so the store is asked before anything is sent, which might make it forget what it has
  let offset: number | null = object.size < askFirstBytes || object.size < object.fileBytes ? 0 : null
  let furthest = 0
  for (let failures = 0; request !== null; ) {
    const attempt: Attempt = offset === null ? await askForOffset(http, request, object.size) : await putFrom(http, object, request, offset, onBytes)
    if (attempt.done) break
    offset = attempt.offset
    if (offset !== null && offset > furthest) failures = 0
    else if (attempt.detail !== null) failures++
    furthest = Math.max(furthest, offset ?? 0)
    const delayMs = attempt.detail === null ? 0 : retryDelayMs(failures, attempt.retryAfterMs, http.random())
    if (delayMs === null) throw new CliError('unreachable', `object ${object.digest} could not be uploaded: ${attempt.detail}`)
    if (delayMs > 0) await http.sleep(delayMs)
    if (attempt.renew) request = await renew()
  }
  onBytes(object.size)
}

/** How much of the object the store has: all of it, what an unfinished upload left, or 0 when it does not say. */
async function askForOffset(http: Http, { url }: SignedUpload, size: number): Promise<Attempt> {
  try {
    const response = await http.fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(silenceMs) })
    if (response.status === 200) return { done: true }
    if (response.status === 429 || response.status >= 500) return { done: false, offset: null, renew: false, retryAfterMs: readRetryAfterMs(response.headers, http.nowMs()), detail: `the store answered ${response.status}` }
    return { done: false, offset: uploadOffset(response, size) ?? 0, renew: false, retryAfterMs: 0, detail: null }
  } catch (error) {
    return { done: false, offset: null, renew: false, retryAfterMs: 0, detail: connectionFault(error).detail }
  }
}

function uploadOffset(response: Response, size: number): number | null {
  const text = response.headers.get('upload-offset')
  return text !== null && /^\d{1,15}$/.test(text) && Number(text) <= size ? Number(text) : null
}

async function putFrom(http: Http, object: Piece, request: SignedUpload, offset: number, onBytes: (bytes: number) => void): Promise<Attempt> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(new Error(`nothing moved for ${silenceMs / 1000} s`)), silenceMs)
  const progress = (bytes: number): void => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(new Error(`nothing moved for ${silenceMs / 1000} s`)), silenceMs)
    onBytes(bytes)
  }
  try {
    const headers = { ...request.headers, 'content-length': String(object.size - offset), ...(offset === 0 ? {} : { 'upload-offset': String(offset) }) }
    const body = await bodyFrom(object, offset, progress)
    const response = await http.fetch(request.url, { method: request.method, headers, body, duplex: 'half', signal: silence.signal } as RequestInit)
    return await judgeAnswer(http, response, object)
  } catch (error) {
    if (error instanceof CliError) throw error
    if (isUnreadable(error)) throw changed(object)
    return { done: false, offset: null, renew: false, retryAfterMs: 0, detail: connectionFault(error).detail }
  } finally {
    clearTimeout(timer)
  }
}

async function bodyFrom(object: Piece, offset: number, progress: (bytes: number) => void): Promise<ReadableStream<Uint8Array>> {
  const blob = await openAsBlob(object.path)
  if (blob.size !== object.fileBytes) throw changed(object)
  let sent = offset
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      sent += chunk.length
      progress(sent)
      controller.enqueue(chunk)
    },
  })
  return blob.slice(object.start + offset, object.start + object.size).stream().pipeThrough(count)
}

/** How S3 says that the bytes are not those that were signed. */
const digestRefused = /<Code>(?:BadDigest|XAmzContentSHA256Mismatch|XAmzContentChecksumMismatch)<\/Code>/

/** How Node says that a file is no longer the one that was opened as a blob. */
const isUnreadable = (error: unknown): boolean => error instanceof Error && (error.name === 'NotReadableError' || isUnreadable(error.cause))

export const changed = (object: Pick<Piece, 'path'>): CliError => new CliError('not-verified', `${object.path} was changed after it was scanned; publish again`)

async function judgeAnswer(http: Http, response: Response, object: Piece): Promise<Attempt> {
  const text = (await response.text()).slice(0, 500)
  const offset = uploadOffset(response, object.size)
  const again = (renew: boolean): Attempt => ({ done: false, offset, renew, retryAfterMs: readRetryAfterMs(response.headers, http.nowMs()), detail: `the store answered ${response.status} ${text}` })
  if (response.status === 202 || response.status === 409) return again(false)
  if (response.ok) return { done: true }
  if (response.status === 403) return again(true)
  if (response.status === 422 || digestRefused.test(text)) throw changed(object)
  if (response.status === 429 || response.status >= 500) return again(false)
  throw new CliError('failure', `the store refused object ${object.digest} with ${response.status}`, { details: [text] })
}
