import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { StreamedObjects } from '../../functions/http/object-route.ts'
import type { ObjectStore, SignedRequest } from '../../functions/ports/object-store.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'

/**
 * A store, and the way of a client to it: `send` sends a signed request as it was given, or with what `init` puts in its place.
 * `clock` is the one it signs by; moved back, what it signs is old.
 */
export type OpenedStore = {
  store: ObjectStore & Partial<StreamedObjects>
  clock: { now: number }
  send(request: SignedRequest, init?: RequestInit): Promise<Response>
  dispose(): Promise<void>
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'no error', (error: unknown) => (error instanceof FleetError ? error.code : error))
const lifeMs = 60_000
const bytes = utf8('0123456789'.repeat(1000))
const digest = sha256(bytes)
const key = storeKeys.object(digest)
const upload = { sha256: digest, size: bytes.length }

/** What every object store does, by whatever way its bytes travel. */
export function runObjectStoreCases(name: string, open: () => Promise<OpenedStore>, suite: typeof describe | typeof describe.skip = describe): void {
  const withStore = (use: (opened: OpenedStore) => Promise<void>) => async () => {
    const opened = await open()
    try {
      await use(opened)
    } finally {
      await opened.dispose()
    }
  }

  suite(`${name} object store`, () => {
    test('gives back what was put, and knows nothing of what was not', withStore(async ({ store }) => {
      expect([await store.head(key), await store.get(key, 1e6)]).toEqual([null, null])
      await store.put(key, bytes, digest)
      expect(await store.head(key)).toEqual({ size: bytes.length })
      expect(sha256((await store.get(key, 1e6))!)).toBe(digest)
      await store.put(storeKeys.manifest(digest), new Uint8Array(0), sha256(new Uint8Array(0)))
      expect(await store.get(storeKeys.manifest(digest), 0)).toEqual(new Uint8Array(0))
    }))

    test('F1: refuses bytes whose SHA-256 is another, and keeps nothing of them', withStore(async ({ store }) => {
      expect(await codeOf(store.put(key, bytes.subarray(1), digest))).toBe('unprocessable')
      expect(await store.head(key)).toBeNull()
    }))

    test('refuses to read what is too long for the caller', withStore(async ({ store }) => {
      await store.put(key, bytes, digest)
      expect(await codeOf(store.get(key, bytes.length - 1))).toBe('too-large')
    }))

    test.each([[0, 10, 0, 10], [5, 1, 5, 6], [9990, 10, 9990, 10_000], [9995, 100, 9995, 10_000], [10_000, 5, 10_000, 10_000], [20_000, 5, 10_000, 10_000], [0, 10_000, 0, 10_000]])(
      'gives as much of the range from %i of length %i as lies inside the object',
      (offset, length, from, to) => withStore(async ({ store }) => {
        await store.put(key, bytes, digest)
        expect(await store.get(key, length, { offset, length })).toEqual(bytes.slice(from, to))
      })(),
    )

    test('refuses a range that is too long for the caller, and knows none of an object that is not there', withStore(async ({ store }) => {
      expect(await store.get(key, 10, { offset: 0, length: 10 })).toBeNull()
      await store.put(key, bytes, digest)
      expect(await codeOf(store.get(key, 9, { offset: 0, length: 10 }))).toBe('too-large')
    }))

    test('puts a thing that changes in the place of the old one', withStore(async ({ store }) => {
      for (const text of ['{"epoch":1}', '{"epoch":2}']) await store.put(storeKeys.epoch(), utf8(text), sha256(utf8(text)))
      expect(await store.get(storeKeys.epoch(), 100)).toEqual(utf8('{"epoch":2}'))
    }))

    test('removes what is named and minds nothing that is not there', withStore(async ({ store }) => {
      await store.put(key, bytes, digest)
      await store.put(storeKeys.epoch(), bytes, digest)
      await store.remove([])
      await store.remove([key, storeKeys.manifest(digest)])
      expect([await store.head(key), await store.head(storeKeys.epoch())]).toEqual([null, { size: bytes.length }])
    }))

    test('removes more at once than any store takes in one request', withStore(async ({ store }) => {
      const absent = Array.from({ length: 2100 }, (_, i) => storeKeys.object(sha256(utf8(String(i)))))
      for (const there of [absent[0]!, absent[1500]!, absent[2099]!]) await store.put(there, bytes, digest)
      await store.remove(absent)
      expect(await Promise.all([absent[0]!, absent[1500]!, absent[2099]!].map(store.head))).toEqual([null, null, null])
    }))

    test.each(['../etc/passwd', 'objects/../../x', '/etc/passwd', 'objects//x', 'objects/.hidden', 'objects', '', 'objects/a\0b', 'objects/a\nb', 'objects/%2e%2e', 'Objects/A', 'objects\\a', 'objects/a?uploads', 'objects/a&<b>'])(
      'F16: refuses the key %j in every verb',
      (bad) => withStore(async ({ store }) => {
        const attempts: (Promise<unknown> | undefined)[] = [
          store.head(bad), store.get(bad, 1e6), store.put(bad, bytes, digest), store.remove([bad]), store.signGet(bad, lifeMs), store.signPut(bad, upload, lifeMs),
          store.read?.(bad, { offset: 0, length: 1 }), store.receive?.(bad, upload, 0, new Blob([bytes]).stream()),
          store.parts?.sign(bad, [{ number: 1, size: 1, sha256: digest, md5: '' }], lifeMs), store.parts?.complete(bad, 1),
        ]
        expect(new Set(await Promise.all(attempts.flatMap((attempt) => (attempt === undefined ? [] : [codeOf(attempt)]))))).toEqual(new Set(['bad-request']))
      })(),
    )
  })

  suite(`what the ${name} object store signs`, () => {
    const withObject = (use: (opened: OpenedStore, get: SignedRequest) => Promise<void>) => withStore(async (opened) => {
      await opened.store.put(key, bytes, digest)
      await use(opened, await opened.store.signGet(key, lifeMs))
    })

    test('gives the whole object, with an ETag that does not change', withObject(async ({ send }, get) => {
      const [first, second] = [await send(get), await send(get)]
      expect([first.status, first.headers.get('content-length'), sha256(await first.bytes())]).toEqual([200, String(bytes.length), digest])
      expect([second.headers.get('etag'), typeof first.headers.get('etag')]).toEqual([first.headers.get('etag'), 'string'])
    }))

    test.each([['bytes=0-9', 0, 10], ['bytes=9990-', 9990, 10], ['bytes=-5', 9995, 5], ['bytes=9999-20000', 9999, 1], ['bytes=5-5', 5, 1]])('gives the range %s', (range, offset, length) => withObject(async ({ send }, get) => {
      const response = await send(get, { headers: { Range: range } })
      expect([response.status, response.headers.get('content-range')]).toEqual([206, `bytes ${offset}-${offset + length - 1}/${bytes.length}`])
      expect(await response.bytes()).toEqual(bytes.slice(offset, offset + length))
    })())

    test('answers 416 to a range behind the end (F34)', withObject(async ({ send }, get) => {
      expect((await send(get, { headers: { Range: 'bytes=10000-' } })).status).toBe(416)
    }))

    test('answers 404 for an object that is not there', withStore(async ({ store, send }) => {
      expect((await send(await store.signGet(key, lifeMs))).status).toBe(404)
    }))

    test('takes an upload of exactly the announced bytes, also twice, also an empty one', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      for (let i = 0; i < 2; i++) expect((await send(put, { body: bytes })).ok).toBe(true)
      expect(sha256((await store.get(key, 1e6))!)).toBe(digest)
      const nothing = { sha256: sha256(new Uint8Array(0)), size: 0 }
      expect((await send(await store.signPut(storeKeys.object(nothing.sha256), nothing, lifeMs), { body: new Uint8Array(0) })).ok).toBe(true)
      expect(await store.head(storeKeys.object(nothing.sha256))).toEqual({ size: 0 })
    }))

    test('F1, F72: refuses an upload of other bytes, of more and of fewer, and shows nothing of it', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      for (const wrong of [bytes.map((byte) => byte ^ 1), utf8(`${'0123456789'.repeat(1000)}!`), bytes.subarray(0, 9999)]) {
        const { 'content-length': _, ...headers } = put.headers
        const response = await send({ ...put, headers }, { body: wrong as Uint8Array<ArrayBuffer> })
        expect(response.status === 202 || !response.ok).toBe(true)
        expect(await store.head(key)).toBeNull()
      }
      expect((await send(put, { body: bytes })).ok).toBe(true)
    }))

    test('is refused for another method, another object, or past its time', withObject(async ({ store, send, clock }, get) => {
      const put = await store.signPut(key, upload, lifeMs)
      const other = storeKeys.object(sha256(utf8('other')))
      await store.put(other, bytes, digest)
      const forged: [SignedRequest, RequestInit][] = [
        [{ ...get, method: 'PUT' }, { body: bytes }], [{ ...put, method: 'GET' }, {}], [{ ...get, url: get.url.replace(key, other) }, {}], [{ ...put, url: put.url.replace(key, other) }, { body: bytes }], [{ ...get, url: get.url.split('?')[0]! }, {}],
      ]
      for (const [request, init] of forged) expect([request.method, request.url, (await send(request, init)).status]).toEqual([request.method, request.url, 403])
      expect(get.expiresAtMs).toBeGreaterThan(clock.now)
      clock.now -= 2 * lifeMs
      const [oldGet, oldPut] = [await store.signGet(key, lifeMs), await store.signPut(key, upload, lifeMs)]
      clock.now += 2 * lifeMs
      expect([(await send(oldGet)).status, (await send(oldPut, { body: bytes })).status]).toEqual([403, 403])
    }))
  })
}
