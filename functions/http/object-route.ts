import { Hono, type Context } from 'hono'
import { FleetError } from '../../protocol/errors.ts'
import type { ByteRange, ObjectFacts } from '../ports/object-store.ts'
import { parseRange } from './parse-range.ts'
import { checkObjectUrl, type ObjectSigning, type ObjectUpload } from './sign-object-url.ts'

/** A store that can be read and written in streams, for those that clients cannot reach themselves. */
export interface StreamedObjects {
  head(key: string): Promise<ObjectFacts | null>
  /** The bytes of a range that lies inside the object, or null when there is no such object. */
  read(key: string, range: ByteRange): Promise<ReadableStream<Uint8Array> | null>
  /** How many bytes of an unfinished upload are kept, and where it can go on. */
  received(key: string, upload: ObjectUpload): Promise<number>
  /**
   * Takes the bytes of an upload from `offset` on, and returns how many it now has. Once it has all of them, and their
   * SHA-256 is right, the object is there; before, nothing of it is. Offset 0 starts anew. A body that breaks off throws
   * its error; what came before is kept. Throws `conflict` for a wrong offset, `too-large` for too many bytes, and
   * `unprocessable` for wrong ones; after the last two the upload starts from 0.
   */
  receive(key: string, upload: ObjectUpload, offset: number, body: ReadableStream<Uint8Array>): Promise<number>
}

/**
 * Serves URLs that `createObjectSigner` signed; everything else is `forbidden`. Errors are FleetErrors, for the app it is
 * mounted in to answer.
 *
 * `GET /objects/{key}`: 200 or 206 with an ETag, honouring Range and If-Range; 416 for a range outside.
 *
 * `PUT /objects/{key}`: the body goes to the store as it comes. 201 when the object is complete and has the signed size
 * and SHA-256; 202 with `Upload-Offset` when the body ended sooner. A later PUT with that `Upload-Offset` goes on from
 * there, so that a broken upload is resumed: `HEAD` on the same URL answers 200 when the object is there, and otherwise
 * 404 with the `Upload-Offset` to go on from. A wrong offset is 409, with the right one in the same header.
 */
export function createObjectRoute(options: { store: StreamedObjects } & Pick<ObjectSigning, 'secret' | 'clock' | 'crypto'>): Hono {
  const { store } = options
  const route = new Hono()
  route.get('/objects/:key{.+}', async (c) => {
    const key = c.req.param('key')
    const upload = await checkObjectUrl(options, c.req.method, key, new URL(c.req.url).searchParams)
    return c.req.method === 'HEAD' ? answerHead(c, store, key, upload) : answerGet(c, store, key)
  })
  route.put('/objects/:key{.+}', async (c) => {
    const key = c.req.param('key')
    const upload = (await checkObjectUrl(options, 'PUT', key, new URL(c.req.url).searchParams))!
    return answerPut(c, store, key, upload)
  })
  return route
}

/** An object never changes under its key, and its key ends in its digest; the size guards keys that do not. */
const etagOf = (key: string, size: number): string => `"${key.slice(key.lastIndexOf('/') + 1)}-${size}"`

async function answerHead(c: Context, store: StreamedObjects, key: string, upload: ObjectUpload | null): Promise<Response> {
  const facts = await store.head(key)
  if (facts !== null) return c.body(null, 200, { 'Content-Length': String(facts.size), 'ETag': etagOf(key, facts.size), 'Accept-Ranges': 'bytes' })
  return c.body(null, 404, upload === null ? {} : { 'Upload-Offset': String(await store.received(key, upload)) })
}

async function answerGet(c: Context, store: StreamedObjects, key: string): Promise<Response> {
  const notFound = () => new FleetError('not-found', `there is no object ${key}`)
  const facts = await store.head(key)
  if (facts === null) throw notFound()
  const etag = etagOf(key, facts.size)
  const ifRange = c.req.header('If-Range')
  const range = ifRange === undefined || ifRange === etag ? parseRange(c.req.header('Range'), facts.size) : 'whole'
  if (range === 'unsatisfiable') return c.body(null, 416, { 'Content-Range': `bytes */${facts.size}` })
  const { offset, length } = range === 'whole' ? { offset: 0, length: facts.size } : range
  const body = await store.read(key, { offset, length })
  if (body === null) throw notFound()
  const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': String(length), 'ETag': etag, 'Accept-Ranges': 'bytes', 'Cache-Control': 'private, immutable' }
  return range === 'whole' ? c.body(body, 200, headers) : c.body(body, 206, { ...headers, 'Content-Range': `bytes ${offset}-${offset + length - 1}/${facts.size}` })
}

async function answerPut(c: Context, store: StreamedObjects, key: string, upload: ObjectUpload): Promise<Response> {
  const offsetText = c.req.header('Upload-Offset') ?? '0'
  if (!/^\d{1,15}$/.test(offsetText)) throw new FleetError('bad-request', 'Upload-Offset must be a number of bytes')
  const offset = Number(offsetText)
  const announced = Number(c.req.header('Content-Length') ?? 0)
  if (offset + announced > upload.size) throw new FleetError('too-large', `the URL is signed for ${upload.size} bytes`, { reason: 'too-long' })
  const body = c.req.raw.body ?? new Blob([]).stream()
  try {
    const received = await store.receive(key, upload, offset, body)
    return received === upload.size ? c.body(null, 201) : c.body(null, 202, { 'Upload-Offset': String(received) })
  } catch (error) {
    if (error instanceof FleetError && error.code === 'conflict') c.header('Upload-Offset', String(await store.received(key, upload)))
    throw error
  }
}
