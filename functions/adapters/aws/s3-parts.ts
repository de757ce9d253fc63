import { fromBase64, toHex, utf8 } from '../../../protocol/bytes.ts'
import { FleetError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { ObjectFacts, PartUploads, UnfinishedUploads } from '../../ports/object-store.ts'
import { checkObjectKey } from '../object-key.ts'
import { errorCodeOf, refusedBy, xmlOf, type S3Client, type S3Request } from './s3-client.ts'
import { elementsOf, escapeXml, textOf } from './xml.ts'

/** Making one object of a thousand parts takes S3 a while. */
const completeMs = 55_000
/** Pages of a thousand parts: S3 takes 10,000 parts at most. */
const pagesMax = 10
/** Uploads looked at by one sweep. */
const sweptMax = 50

type StoredPart = { number: number; size: number; etag: string; storedMs: number }

/**
 * Multipart uploads. Nothing about them is remembered here: the store lists the upload of a key, and its parts, whose
 * ETags are their MD5 (where they are not, as under SSE-KMS, a part is sent again). Each part is signed with its length, MD5 and SHA-256.
 */
export function createS3Parts(client: S3Client, head: (key: string) => Promise<ObjectFacts | null>, partBytes: number = limits.partBytes): { parts: PartUploads; unfinished: UnfinishedUploads } {
  return {
    parts: {
      partBytes,
      sign: async (key, parts, lifeMs) => {
        const uploadId = (await findUpload(client, checkObjectKey(key))) ?? (await beginUpload(client, key))
        const stored = new Map((await listParts(client, key, uploadId)).map((part) => [part.number, part]))
        return Promise.all(parts.map(async ({ number, size, sha256, md5 }) => {
          const there = stored.get(number)
          if (there?.size === size && there.etag === toHex(fromBase64(md5))) return null
          const headers = { 'x-amz-content-sha256': sha256, 'content-md5': md5, 'content-length': String(size) }
          return client.presign({ method: 'PUT', key, query: { partNumber: String(number), uploadId }, headers }, lifeMs)
        }))
      },
      complete: async (key, size) => {
        if ((await head(key))?.size === size) return
        const uploadId = await findUpload(client, key)
        if (uploadId === null) throw new FleetError('conflict', `no upload of ${key} is under way`, { reason: 'parts-missing' })
        await completeUpload(client, key, uploadId, expectParts(await listParts(client, key, uploadId), key, size, partBytes))
        const facts = await head(key)
        if (facts?.size !== size) throw new FleetError('unavailable', `the object store made ${facts?.size ?? 'no'} bytes of the parts of ${key}, not ${size}`, { reason: 'object-store' })
      },
    },
    unfinished: { sweep: (beforeMs) => sweep(client, beforeMs) },
  }
}

async function sendOk(client: S3Client, request: S3Request): Promise<string> {
  const answer = await client.send(request)
  if (answer.status !== 200 || errorCodeOf(answer) !== '') throw refusedBy(request, answer)
  return xmlOf(answer)
}

type Upload = { key: string; uploadId: string; initiatedMs: number }

/** The first thousand uploads under a prefix. */
async function listUploads(client: S3Client, prefix: string): Promise<Upload[]> {
  const xml = await sendOk(client, { method: 'GET', query: { uploads: '', prefix } })
  return elementsOf(xml, 'Upload').map((upload) => ({ key: textOf(upload, 'Key')!, uploadId: textOf(upload, 'UploadId')!, initiatedMs: Date.parse(textOf(upload, 'Initiated') ?? '') }))
}

/** The upload of this key, the oldest where two were begun at once, so that all go on with the same. */
async function findUpload(client: S3Client, key: string): Promise<string | null> {
  const uploads = (await listUploads(client, key)).filter((upload) => upload.key === key)
  uploads.sort((a, b) => a.initiatedMs - b.initiatedMs || (a.uploadId < b.uploadId ? -1 : 1))
  return uploads[0]?.uploadId ?? null
}

async function beginUpload(client: S3Client, key: string): Promise<string> {
  const uploadId = textOf(await sendOk(client, { method: 'POST', key, query: { uploads: '' } }), 'UploadId')
  if (uploadId === null) throw new FleetError('unavailable', `the object store began no upload of ${key}`, { reason: 'object-store' })
  return uploadId
}

async function listParts(client: S3Client, key: string, uploadId: string): Promise<StoredPart[]> {
  const parts: StoredPart[] = []
  let marker = '0'
  for (let page = 0; page < pagesMax; page++) {
    const xml = await sendOk(client, { method: 'GET', key, query: { uploadId, 'part-number-marker': marker } })
    for (const part of elementsOf(xml, 'Part')) parts.push({ number: Number(textOf(part, 'PartNumber')), size: Number(textOf(part, 'Size')), etag: textOf(part, 'ETag')!.replaceAll('"', ''), storedMs: Date.parse(textOf(part, 'LastModified') ?? '') })
    if (textOf(xml, 'IsTruncated') !== 'true') break
    marker = textOf(xml, 'NextPartNumberMarker') ?? String(parts.at(-1)?.number)
  }
  return parts
}

/** Exactly the parts an object of this size has, each of its length. */
function expectParts(stored: readonly StoredPart[], key: string, size: number, partBytes: number): StoredPart[] {
  const byNumber = new Map(stored.map((part) => [part.number, part]))
  const wanted = Array.from({ length: Math.ceil(size / partBytes) }, (_, i) => ({ number: i + 1, size: Math.min(partBytes, size - i * partBytes) }))
  const missing = wanted.filter((part) => byNumber.get(part.number)?.size !== part.size).map(({ number }) => number)
  if (missing.length > 0) throw new FleetError('conflict', `parts ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ', …' : ''} of ${wanted.length} of ${key} are missing`, { reason: 'parts-missing' })
  return wanted.map(({ number }) => byNumber.get(number)!)
}

/** S3 answers 200 before it is through, so the body decides. An upload that is gone was completed by somebody else, or was swept: the caller looks. */
async function completeUpload(client: S3Client, key: string, uploadId: string, parts: readonly StoredPart[]): Promise<void> {
  const list = parts.map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${escapeXml(etag)}&quot;</ETag></Part>`).join('')
  const body = utf8(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list}</CompleteMultipartUpload>`)
  const request = { method: 'POST', key, query: { uploadId }, body, headers: { 'content-type': 'application/xml' }, callMs: completeMs }
  const answer = await client.send(request)
  const code = errorCodeOf(answer)
  if (code !== 'NoSuchUpload' && (code !== '' || answer.status !== 200)) throw refusedBy(request, answer)
}

/** An upload that was begun long ago may still be under way, over a slow line: its youngest part tells. */
async function sweep(client: S3Client, beforeMs: number): Promise<number> {
  const old = (await listUploads(client, 'objects/')).filter(({ initiatedMs }) => initiatedMs < beforeMs).slice(0, sweptMax)
  let swept = 0
  for (const { key, uploadId } of old) {
    if ((await listParts(client, key, uploadId)).some(({ storedMs }) => storedMs >= beforeMs)) continue
    const request = { method: 'DELETE', key, query: { uploadId } }
    const answer = await client.send(request)
    if (answer.status !== 204 && answer.status !== 404) throw refusedBy(request, answer)
    swept++
  }
  return swept
}
