import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { startMoto, type ProxiedRequest } from './start-moto.ts'

export const s3Access = { bucket: 'fleet-objects', region: 'eu-central-1', accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'not a secret at all' }
export type S3Server = Awaited<ReturnType<typeof startS3>>
/** What a test may do to an answer: an answer of its own, nothing at all (`hang`), or null to let it pass. */
export type Disturb = (request: IncomingMessage) => { status: number; body: string } | 'hang' | null

/**
 * moto's S3 behind a proxy that does what moto leaves out: it computes every signature again, holds each body against
 * its signed digest, checksum, MD5 and length, and refuses URLs past their time. Throws when moto does not come up.
 */
export async function startS3() {
  let disturb: Disturb = () => null
  let refusals: string[] = []

  async function serve({ request, response, read, pass }: ProxiedRequest): Promise<void> {
    const disturbed = disturb(request)
    if (disturbed === 'hang') return
    const body = await read()
    const answer = disturbed ?? checkRequest(request, body, Date.now())
    if (answer === null) return pass(body)
    if (disturbed === null) refusals.push(answer.body)
    response.writeHead(answer.status, { 'content-type': 'application/xml', 'content-length': String(Buffer.byteLength(answer.body)) }).end(request.method === 'HEAD' ? undefined : answer.body)
  }

  const { motoUrl, endpoint, stop } = await startMoto(serve)
  return {
    endpoint, access: { ...s3Access, endpoint }, stop,
    /** Empties everything, and makes the bucket. */
    async reset(): Promise<void> {
      disturb = () => null
      refusals = []
      await fetch(`${motoUrl}/moto-api/reset`, { method: 'POST' })
      const made = await fetch(`${motoUrl}/${s3Access.bucket}`, { method: 'PUT', headers: { authorization: `AWS4-HMAC-SHA256 Credential=${s3Access.accessKeyId}/20260101/${s3Access.region}/s3/aws4_request` }, body: `<CreateBucketConfiguration><LocationConstraint>${s3Access.region}</LocationConstraint></CreateBucketConfiguration>` })
      if (!made.ok) throw new Error(`no bucket: ${await made.text()}`)
    },
    disturb: (how: Disturb) => void (disturb = how),
    /** Why the proxy refused requests since the last reset. */
    refusals: () => refusals,
  }
}

type Refusal = { status: number; body: string }
const refusal = (status: number, code: string, detail = ''): Refusal => ({ status, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${detail}</Message></Error>` })
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const digestOf = (algorithm: string, body: Buffer, encoding: 'hex' | 'base64'): string => createHash(algorithm).update(body).digest(encoding)
/** Everything but unreserved characters, as SigV4 wants it. */
const encode = (text: string): string => encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

type Claim = { credential: string; signedHeaders: string; signature: string; date: string; expiresS: number | null }

function readClaim(url: URL, request: IncomingMessage): Claim | null {
  const query = url.searchParams
  if (query.has('X-Amz-Signature')) {
    return { credential: query.get('X-Amz-Credential') ?? '', signedHeaders: query.get('X-Amz-SignedHeaders') ?? '', signature: query.get('X-Amz-Signature')!, date: query.get('X-Amz-Date') ?? '', expiresS: Number(query.get('X-Amz-Expires')) }
  }
  const match = /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(request.headers.authorization ?? '')
  return match === null ? null : { credential: match[1]!, signedHeaders: match[2]!, signature: match[3]!, date: String(request.headers['x-amz-date'] ?? ''), expiresS: null }
}

/** SigV4 as AWS's documents describe it, written a second time; null when all is well. */
function checkRequest(request: IncomingMessage, body: Buffer, nowMs: number): Refusal | null {
  const url = new URL(request.url!, `http://${request.headers.host}`)
  const claim = readClaim(url, request)
  if (claim === null) return refusal(403, 'AccessDenied', 'not signed')
  const [accessKeyId, day, region, service, end] = claim.credential.split('/')
  if (accessKeyId !== s3Access.accessKeyId || region !== s3Access.region || service !== 's3' || end !== 'aws4_request' || day !== claim.date.slice(0, 8)) return refusal(403, 'InvalidAccessKeyId', claim.credential)
  const names = claim.signedHeaders.split(';')
  const unsigned = Object.keys(request.headers).filter((name) => (name.startsWith('x-amz-') || name === 'content-md5') && !names.includes(name))
  if (!names.includes('host') || unsigned.length > 0) return refusal(403, 'AccessDenied', `headers that were not signed: ${unsigned.join(', ')}`)
  const payload = String(request.headers['x-amz-content-sha256'] ?? (claim.expiresS === null ? '' : 'UNSIGNED-PAYLOAD'))
  const query = [...url.searchParams].filter(([name]) => name !== 'X-Amz-Signature').map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&')
  const headers = names.map((name) => `${name}:${String(request.headers[name] ?? '').trim().replaceAll(/\s+/g, ' ')}\n`).join('')
  const canonical = [request.method, url.pathname.split('/').map((part) => encode(decodeURIComponent(part))).join('/'), query, headers, claim.signedHeaders, payload].join('\n')
  const scope = [day, region, service, end].join('/')
  const toSign = ['AWS4-HMAC-SHA256', claim.date, scope, digestOf('sha256', Buffer.from(canonical), 'hex')].join('\n')
  const key = [day!, region, service, end!].reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${s3Access.secretAccessKey}`)
  if (!timingSafeEqual(hmac(key, toSign), Buffer.from(claim.signature.padEnd(64, '0').slice(0, 64), 'hex'))) return refusal(403, 'SignatureDoesNotMatch', canonical)
  return checkTime(claim, nowMs) ?? checkPayload(request, body, payload)
}

function checkTime(claim: Claim, nowMs: number): Refusal | null {
  const issuedMs = Date.parse(claim.date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (claim.expiresS === null) return Math.abs(nowMs - issuedMs) > 15 * 60_000 ? refusal(403, 'RequestTimeTooSkewed') : null
  return nowMs > issuedMs + claim.expiresS * 1000 ? refusal(403, 'AccessDenied', 'Request has expired') : null
}

function checkPayload(request: IncomingMessage, body: Buffer, payload: string): Refusal | null {
  if (payload !== 'UNSIGNED-PAYLOAD' && payload !== digestOf('sha256', body, 'hex')) return refusal(400, 'XAmzContentSHA256Mismatch')
  const { 'x-amz-checksum-sha256': checksum, 'content-md5': md5 } = request.headers
  if (checksum !== undefined && checksum !== digestOf('sha256', body, 'base64')) return refusal(400, 'BadDigest')
  if (md5 !== undefined && md5 !== digestOf('md5', body, 'base64')) return refusal(400, 'BadDigest')
  if (new URL(request.url!, 'http://x').searchParams.has('delete') && checksum === undefined && md5 === undefined) return refusal(400, 'InvalidRequest', 'Missing required header for this request: Content-MD5')
  return null
}
