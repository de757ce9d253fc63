import { equalBytes, fromHex, toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { ObjectStore, SignedRequest } from '../ports/object-store.ts'

/** Where signed URLs lead and what signs them: `secret` is at least 32 bytes, `baseUrl` where the object route is mounted. */
export type ObjectSigning = { baseUrl: string; secret: Uint8Array; clock: Clock; crypto: Crypto }
export type ObjectUpload = { sha256: string; size: number }

/** The two signing methods of the port, for stores that cannot sign URLs of their own; `createObjectRoute` serves them. */
export function createObjectSigner(signing: ObjectSigning): Pick<ObjectStore, 'signGet' | 'signPut'> {
  const sign = async (method: 'GET' | 'PUT', key: string, upload: ObjectUpload | null, lifeMs: number): Promise<SignedRequest> => {
    const expiresAtMs = signing.clock.nowMs() + lifeMs
    const signature = toHex(await signing.crypto.hmac(signing.secret, statement(method, key, expiresAtMs, upload)))
    const query = new URLSearchParams({ expires: String(expiresAtMs), ...(upload === null ? {} : { size: String(upload.size), sha256: upload.sha256 }), signature })
    return { method, url: `${signing.baseUrl}/objects/${key}?${query.toString()}`, headers: {}, expiresAtMs }
  }
  return {
    signGet: (key, lifeMs) => sign('GET', key, null, lifeMs),
    signPut: (key, upload, lifeMs) => sign('PUT', key, upload, lifeMs),
  }
}

/**
 * What a signed URL allows: for a PUT the announced upload, for a GET null. HEAD is allowed by either. Throws
 * `forbidden` for a signature that is missing, wrong, for another request, or past its time.
 */
export async function checkObjectUrl(signing: Pick<ObjectSigning, 'secret' | 'clock' | 'crypto'>, method: string, key: string, query: URLSearchParams): Promise<ObjectUpload | null> {
  const [expires, size, sha256, signature] = ['expires', 'size', 'sha256', 'signature'].map((name) => query.get(name) ?? '') as [string, string, string, string]
  const upload = query.has('size') || query.has('sha256') ? { size: Number(size), sha256 } : null
  const wellFormed = /^\d{1,15}$/.test(expires) && /^[0-9a-f]{64}$/.test(signature) && (upload === null || (/^\d{1,15}$/.test(size) && /^[0-9a-f]{64}$/.test(sha256)))
  const signedMethod = upload === null ? 'GET' : 'PUT'
  if (!wellFormed || (method !== 'HEAD' && method !== signedMethod)) throw new FleetError('forbidden', 'the URL is not signed for this request', { reason: 'bad-signature' })
  const expected = await signing.crypto.hmac(signing.secret, statement(signedMethod, key, Number(expires), upload))
  if (!equalBytes(expected, fromHex(signature))) throw new FleetError('forbidden', 'the signature of the URL is wrong', { reason: 'bad-signature' })
  if (signing.clock.nowMs() >= Number(expires)) throw new FleetError('forbidden', 'the URL has expired; ask for a new one', { reason: 'expired' })
  return upload
}

const statement = (method: string, key: string, expiresAtMs: number, upload: ObjectUpload | null): Uint8Array =>
  utf8(['murmur object v1', method, key, expiresAtMs, upload?.size ?? '', upload?.sha256 ?? ''].join('\n'))
