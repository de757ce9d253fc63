import { AwsClient, AwsV4Signer } from 'aws4fetch'
import { FleetError } from '../../../protocol/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { SignedRequest } from '../../ports/object-store.ts'
import { textOf } from './xml.ts'

/** Where a bucket is and who asks. `region` is `auto` for R2. */
type S3Access = { endpoint: string; bucket: string; region: string; accessKeyId: string; secretAccessKey: string }
export type S3Options = S3Access & {
  clock: Clock
  /** How long one request may take, its answer included. */
  callMs?: number
}

export type S3Request = { method: string; key?: string; query?: Record<string, string>; headers?: Record<string, string>; body?: Uint8Array<ArrayBuffer>; callMs?: number }
export type S3Answer = { status: number; headers: Headers; bytes: Uint8Array<ArrayBuffer> }

export interface S3Client {
  /** Sends one request, again after a 429, a 5xx or no answer. Throws FleetError `unavailable` when that does not help; every other status is the caller's. */
  send(request: S3Request): Promise<S3Answer>
  /** A request that somebody else may send; all of `headers` are signed, so a request without them, or with others, is refused. */
  presign(request: { method: 'GET' | 'PUT'; key: string; query?: Record<string, string>; headers?: Record<string, string> }, lifeMs: number): Promise<SignedRequest>
}

const callMsDefault = 15_000
const attemptsMax = 3
const firstPauseMs = 100

export function createS3Client(options: S3Options): S3Client {
  const { accessKeyId, secretAccessKey, region, clock } = options
  const base = baseUrlOf(options)
  const aws = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3' })
  const urlOf = (key: string | undefined, query: Record<string, string> = {}): string => {
    const search = new URLSearchParams(query).toString()
    return `${base}${key === undefined ? '' : `/${key}`}${search === '' ? '' : `?${search}`}`
  }

  async function attempt({ method, key, query, headers, body, callMs }: S3Request): Promise<S3Answer> {
    const signal = AbortSignal.timeout(Math.min(callMs ?? callMsDefault, options.callMs ?? Number.POSITIVE_INFINITY))
    const signed = await aws.sign(urlOf(key, query), { method, headers: headers ?? {}, ...(body === undefined ? {} : { body }), aws: { datetime: dateTime(clock.nowMs()) } })
    const response = await fetch(signed, { signal, redirect: 'manual' })
    return { status: response.status, headers: response.headers, bytes: new Uint8Array(await response.arrayBuffer()) }
  }

  return {
    async send(request) {
      for (let tries = 1; ; tries++) {
        const answer = await attempt(request).catch((error: unknown) => error as Error)
        if (!(answer instanceof Error) && answer.status < 500 && answer.status !== 429) return answer
        if (tries === attemptsMax) throw notAnswering(request, answer)
        await new Promise((resolve) => setTimeout(resolve, firstPauseMs * 2 ** tries * Math.random()))
      }
    },
    async presign({ method, key, query, headers = {} }, lifeMs) {
      const lifeS = Math.floor(lifeMs / 1000)
      const issuedMs = Math.floor(clock.nowMs() / 1000) * 1000
      const signer = new AwsV4Signer({
        url: urlOf(key, { ...query, 'X-Amz-Expires': String(lifeS) }), method, headers, accessKeyId, secretAccessKey, region, service: 's3', datetime: dateTime(issuedMs), signQuery: true, allHeaders: true,
      })
      const { url } = await signer.sign()
      return { method, url: url.toString(), headers, expiresAtMs: issuedMs + lifeS * 1000 }
    },
  }
}

/** AWS wants the bucket in the host's name (its certificate has no second level, so not with a dot in it); all others take it in the path. */
function baseUrlOf({ endpoint, bucket }: S3Access): string {
  const url = new URL(endpoint)
  if (!url.hostname.endsWith('.amazonaws.com') || bucket.includes('.')) return `${endpoint.replace(/\/+$/, '')}/${bucket}`
  return `${url.protocol}//${bucket}.${url.host}`
}

/** `20260501T100000Z`, as SigV4 writes times. */
const dateTime = (nowMs: number): string => new Date(nowMs).toISOString().replaceAll(/[:-]|\.\d{3}/g, '')

/** The body of an answer that is XML. */
export const xmlOf = (answer: S3Answer): string => new TextDecoder().decode(answer.bytes)
/** S3's own name for what went wrong, such as `NoSuchUpload`; empty where it gave none. */
export const errorCodeOf = (answer: S3Answer): string => {
  const xml = xmlOf(answer)
  return xml.includes('<Error>') ? (textOf(xml, 'Code') ?? '') : ''
}

const nameOf = ({ method, key }: S3Request): string => `${method} ${key ?? 'of the bucket'}`

function notAnswering(request: S3Request, last: S3Answer | Error): FleetError {
  const detail = last instanceof Error ? (last.name === 'TimeoutError' ? 'it did not answer in time' : 'it cannot be reached') : `it answered ${last.status} ${errorCodeOf(last)}`.trim()
  return new FleetError('unavailable', `the object store failed at ${nameOf(request)}: ${detail}`, { reason: 'object-store', ...(last instanceof Error ? { cause: last } : {}) })
}

/** What an answer that nobody expected means: credentials, bucket or clock are wrong, which only a person can mend. */
export function refusedBy(request: S3Request, answer: S3Answer): FleetError {
  const code = errorCodeOf(answer)
  const hint = answer.status === 403 ? '; look at the key, its rights on the bucket, and the clock' : code === 'NoSuchBucket' ? '; there is no such bucket' : ''
  return new FleetError('unavailable', `the object store refuses ${nameOf(request)} with ${`${answer.status} ${code}`.trim()}${hint}`, { reason: 'object-store' })
}
