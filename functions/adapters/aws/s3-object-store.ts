import { fromHex, toBase64, toHex, utf8 } from '../../../protocol/bytes.ts'
import type { Crypto } from '../../../protocol/crypto.ts'
import { FleetError } from '../../../protocol/errors.ts'
import type { ByteRange, ObjectStore, PartUploads, UnfinishedUploads } from '../../ports/object-store.ts'
import { digestMismatch, tooLarge } from '../object-fault.ts'
import { checkObjectKey } from '../object-key.ts'
import { createS3Client, errorCodeOf, refusedBy, xmlOf, type S3Answer, type S3Client, type S3Options, type S3Request } from './s3-client.ts'
import { createS3Parts } from './s3-parts.ts'
import { elementsOf, textOf } from './xml.ts'

/** S3 deletes at most this many objects in one request. */
const deletesMax = 1000
/** For whole objects, up to the longest delivery index. */
const transferMs = 60_000

export type S3ObjectStore = ObjectStore & { readonly parts: PartUploads; readonly unfinished: UnfinishedUploads }

/**
 * Objects in a bucket with the S3 API (AWS S3, R2, MinIO), over fetch alone. Clients send and fetch bytes themselves under
 * presigned URLs: what a PUT may bring is fixed by its signed length and SHA-256, which the store checks. Throws FleetError
 * `unavailable` when the store does not answer, in bounded time.
 */
export function createS3ObjectStore(options: S3Options & { crypto: Crypto; partBytes?: number }): S3ObjectStore {
  const { crypto } = options
  const client = createS3Client(options)
  const head = async (key: string) => {
    const request = { method: 'HEAD', key: checkObjectKey(key) }
    const answer = await sendFor(client, request, [200, 404])
    if (answer.status === 404) return null
    const length = answer.headers.get('content-length')
    // what lies between may leave it out: then nobody knows the size, and 0 is a lie
    if (length === null) throw refusedBy(request, answer)
    return { size: Number(length) }
  }
  return {
    head,
    get: async (key, bytesMax, range) => {
      if (range !== undefined) return getPart(client, checkObjectKey(key), bytesMax, range)
      const facts = await head(key)
      if (facts === null) return null
      if (facts.size > bytesMax) throw tooLarge(key, facts.size, bytesMax)
      const answer = await sendFor(client, { method: 'GET', key, callMs: transferMs }, [200, 404])
      return answer.status === 404 ? null : answer.bytes
    },
    put: async (key, bytes, sha256) => {
      checkObjectKey(key)
      if (toHex(await crypto.sha256(bytes)) !== sha256) throw digestMismatch(key, sha256)
      await sendFor(client, { method: 'PUT', key, body: bytes as Uint8Array<ArrayBuffer>, headers: checksumHeaders(sha256), callMs: transferMs }, [200])
    },
    remove: async (keys) => {
      keys.forEach(checkObjectKey)
      for (let i = 0; i < keys.length; i += deletesMax) await removeLot(client, crypto, keys.slice(i, i + deletesMax))
    },
    signGet: async (key, lifeMs) => client.presign({ method: 'GET', key: checkObjectKey(key) }, lifeMs),
    signPut: async (key, { sha256, size }, lifeMs) => client.presign({ method: 'PUT', key: checkObjectKey(key), headers: { ...checksumHeaders(sha256), 'content-length': String(size) } }, lifeMs),
    ...createS3Parts(client, head, options.partBytes),
  }
}

/** The digest twice: as the payload that the signature covers, and as the checksum that the store computes and keeps. */
const checksumHeaders = (sha256: string): Record<string, string> => ({ 'x-amz-content-sha256': sha256, 'x-amz-checksum-sha256': toBase64(fromHex(sha256)) })

async function getPart(client: S3Client, key: string, bytesMax: number, { offset, length }: ByteRange): Promise<Uint8Array | null> {
  if (length > bytesMax) throw tooLarge(key, length, bytesMax)
  const answer = await sendFor(client, { method: 'GET', key, headers: { range: `bytes=${offset}-${offset + length - 1}` }, callMs: transferMs }, [200, 206, 404, 416])
  if (answer.status === 404) return null
  if (answer.status === 416) return new Uint8Array(0)
  // what lies between may leave the range out
  return answer.status === 206 ? answer.bytes : answer.bytes.subarray(offset, offset + length)
}

/** The answer, if it has one of these statuses. */
async function sendFor(client: S3Client, request: S3Request, statuses: readonly number[]): Promise<S3Answer> {
  const answer = await client.send(request)
  if (!statuses.includes(answer.status) || errorCodeOf(answer) === 'NoSuchBucket') throw refusedBy(request, answer)
  return answer
}

/** Minds nothing that is not there; what the store could not delete is named. */
async function removeLot(client: S3Client, crypto: Crypto, keys: readonly string[]): Promise<void> {
  const body = utf8(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`)
  const headers = { ...checksumHeaders(toHex(await crypto.sha256(body))), 'x-amz-sdk-checksum-algorithm': 'SHA256', 'content-type': 'application/xml' }
  const answer = await sendFor(client, { method: 'POST', query: { delete: '' }, headers, body, callMs: transferMs }, [200])
  const failed = elementsOf(xmlOf(answer), 'Error')
  if (failed.length === 0) return
  throw new FleetError('unavailable', `the object store did not delete ${failed.length} of ${keys.length} objects: ${textOf(failed[0]!, 'Key')}: ${textOf(failed[0]!, 'Code')}`, { reason: 'object-store' })
}
