import { createHash } from 'node:crypto'
import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { createObjectRoute, type StreamedObjects } from '../../functions/http/object-route.ts'
import { createObjectSigner } from '../../functions/http/sign-object-url.ts'
import type { ObjectStore, SignedRequest } from '../../functions/ports/object-store.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { errorCodes, FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'

export type StoreUnderTest = { store: ObjectStore & StreamedObjects; dispose(): Promise<void> }
export type MakeStore = (signer: Pick<ObjectStore, 'signGet' | 'signPut'>) => Promise<StoreUnderTest>

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const lifeMs = 60_000
const bytes = utf8('0123456789'.repeat(1000))
const digest = sha256(bytes)
const key = storeKeys.object(digest)

/** A store behind an app that answers FleetErrors the way a controller does, with a clock the test can move. */
export async function serveStore(makeStore: MakeStore) {
  const clock = { now: 1_000_000, nowMs: () => clock.now }
  const signing = { secret: new Uint8Array(32).fill(7), clock, crypto: webCrypto }
  const { store, dispose } = await makeStore(createObjectSigner({ ...signing, baseUrl: 'http://store.test/api' }))
  const app = new Hono()
  app.route('/api', createObjectRoute({ store, ...signing }))
  app.onError((error, c) => {
    if (!(error instanceof FleetError)) return c.text(String(error), 500)
    return c.json({ code: error.code, reason: error.reason }, errorCodes[error.code].status)
  })
  return { store, clock, app, dispose, send: async (request: SignedRequest, init: RequestInit = {}) => app.request(request.url, { method: request.method, ...init }) }
}

type Served = Awaited<ReturnType<typeof serveStore>>

/** What the signed route does over a store whose URLs nobody else signs. */
export function runObjectRouteCases(name: string, makeStore: MakeStore, able: { resume: boolean }): void {
  const withStore = (use: (served: Served) => Promise<void>) => async () => {
    const served = await serveStore(makeStore)
    try {
      await use(served)
    } finally {
      await served.dispose()
    }
  }

  /** Cases that only a store with resumable uploads promises anything about. */
  const testResuming = (title: string, run: () => Promise<void>): void => {
    if (able.resume) test(title, run)
  }

  describe(`signed URLs of the ${name} object store`, () => {
    const withObject = (use: (served: Served, get: SignedRequest) => Promise<void>) => withStore(async (served) => {
      await served.store.put(key, bytes, digest)
      await use(served, await served.store.signGet(key, lifeMs))
    })

    test('give the whole object', withObject(async ({ send }, get) => {
      const response = await send(get)
      expect([response.status, response.headers.get('Content-Length')]).toEqual([200, String(bytes.length)])
      expect(sha256(await response.bytes())).toBe(digest)
    }))

    test('give an empty object', withStore(async ({ store, send }) => {
      const empty = sha256(new Uint8Array(0))
      await store.put(storeKeys.object(empty), new Uint8Array(0), empty)
      const response = await send(await store.signGet(storeKeys.object(empty), lifeMs))
      expect([response.status, (await response.bytes()).length]).toEqual([200, 0])
    }))

    test.each([
      ['bytes=0-9', 0, 10], ['bytes=9990-', 9990, 10], ['bytes=-5', 9995, 5], ['bytes=9999-20000', 9999, 1], ['bytes=-20000', 0, 10_000], ['bytes=5-5', 5, 1],
    ])('give the range %s', (range, offset, length) => withObject(async ({ send }, get) => {
      const response = await send(get, { headers: { Range: range } })
      expect([response.status, response.headers.get('Content-Range')]).toEqual([206, `bytes ${offset}-${offset + length - 1}/${bytes.length}`])
      expect(await response.bytes()).toEqual(bytes.slice(offset, offset + length))
    })())

    test.each(['bytes=10000-', 'bytes=-0', 'bytes=20000-30000'])('F34: answer 416 to the range %s, with the true length', (range) => withObject(async ({ send }, get) => {
      const response = await send(get, { headers: { Range: range } })
      expect([response.status, response.headers.get('Content-Range')]).toEqual([416, `bytes */${bytes.length}`])
    })())

    test.each(['bytes=5-4', 'bytes=a-b', 'lines=1-2', 'bytes=0-1,3-4', 'bytes=-'])('ignore the range %s', (range) => withObject(async ({ send }, get) => {
      expect((await send(get, { headers: { Range: range } })).status).toBe(200)
    })())

    test('F34: give the range only of the object that If-Range names', withObject(async ({ send }, get) => {
      const etag = (await send(get)).headers.get('ETag')!
      expect((await send(get, { headers: { 'Range': 'bytes=0-1', 'If-Range': etag } })).status).toBe(206)
      expect((await send(get, { headers: { 'Range': 'bytes=0-1', 'If-Range': '"another"' } })).status).toBe(200)
    }))

    test('are refused when changed in any part, for another method, or expired', withObject(async ({ send, store, clock, app }, get) => {
      const put = await store.signPut(key, { sha256: digest, size: bytes.length }, lifeMs)
      const other = storeKeys.object(sha256(utf8('other')))
      const forged: [string, string][] = [
        ['GET', get.url.replace(key, other)], ['PUT', get.url], ['GET', put.url], ['DELETE', get.url],
        ['PUT', put.url.replace(`size=${bytes.length}`, 'size=99999')], ['PUT', put.url.replace(`sha256=${digest}`, `sha256=${sha256(utf8('x'))}`)],
        ['GET', get.url.replace(/expires=\d+/, 'expires=99999999999999')], ['GET', get.url.replace(/signature=[0-9a-f]{4}/, 'signature=0000')],
        ['GET', get.url.replace(/signature=.*/, 'signature=')], ['GET', get.url.split('?')[0]!],
      ]
      for (const [method, url] of forged) {
        const response = await app.request(url, { method, ...(method === 'PUT' ? { body: bytes } : {}) })
        expect([method, url, response.status === 404 && method === 'DELETE' ? 403 : response.status]).toEqual([method, url, 403])
      }
      clock.now += lifeMs
      for (const request of [get, put]) expect(await (await send(request, request.method === 'PUT' ? { body: bytes } : {})).json()).toEqual({ code: 'forbidden', reason: 'expired' })
    }))

    test('answer 404 for an object that is not there', withStore(async ({ store, send }) => {
      expect((await send(await store.signGet(key, lifeMs))).status).toBe(404)
    }))

    const upload = { sha256: digest, size: bytes.length }
    test('take an upload, after which HEAD finds it', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      expect((await send(put, { method: 'HEAD' })).status).toBe(404)
      expect((await send(put, { body: bytes })).status).toBe(201)
      const head = await send(put, { method: 'HEAD' })
      expect([head.status, head.headers.get('Content-Length'), (await head.bytes()).length]).toEqual([200, String(bytes.length), 0])
      expect(sha256((await store.get(key, 1e6))!)).toBe(digest)
      expect((await send(put, { body: bytes })).status).toBe(201)
    }))

    test('F1, F72: refuse an upload of other or more bytes, and show nothing of it', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      const wrong = await send(put, { body: Uint8Array.from(bytes, (byte) => byte ^ 1) })
      expect(wrong.status).toBe(able.resume ? 422 : 503)
      expect((await send(put, { body: utf8(`${'0123456789'.repeat(1000)}!`), headers: { 'Content-Length': String(bytes.length + 1) } })).status).toBe(413)
      const unannounced = new ReadableStream({
        start: (controller) => {
          for (let i = 0; i < 3; i++) controller.enqueue(bytes)
          controller.close()
        },
      })
      expect((await send(put, { body: unannounced, duplex: 'half' } as RequestInit)).status).toBe(able.resume ? 413 : 503)
      expect(await store.head(key)).toBeNull()
      expect((await send(put, { body: bytes })).status).toBe(201)
    }))

    testResuming('F7: stop reading a body that does not end', withStore(async ({ store, send }) => {
      let pulled = 0
      const endless = new ReadableStream({
        pull: (controller) => (pulled++ < 1000 ? controller.enqueue(bytes) : controller.close()),
      })
      const put = await store.signPut(key, upload, lifeMs)
      expect((await send(put, { body: endless, duplex: 'half' } as RequestInit)).status).toBe(413)
      expect(pulled).toBeLessThan(10)
    }))

    testResuming('go on with an upload where it broke off, and say where that was', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      const part = await send(put, { body: bytes.slice(0, 4000) })
      expect([part.status, part.headers.get('Upload-Offset')]).toEqual([202, '4000'])
      const broken = new ReadableStream({
        start: (controller) => controller.enqueue(bytes.slice(4000, 7000)),
        pull: (controller) => controller.error(new Error('connection reset')),
      })
      await send(put, { body: broken, headers: { 'Upload-Offset': '4000' }, duplex: 'half' } as RequestInit)
      expect(await store.head(key)).toBeNull()
      const head = await send(put, { method: 'HEAD' })
      const offset = Number(head.headers.get('Upload-Offset'))
      expect([head.status, offset === 4000 || offset === 7000]).toEqual([404, true])
      const gap = await send(put, { body: bytes.slice(9000), headers: { 'Upload-Offset': '9000' } })
      expect([gap.status, gap.headers.get('Upload-Offset')]).toEqual([409, String(offset)])
      expect((await send(put, { body: bytes.slice(offset), headers: { 'Upload-Offset': String(offset) } })).status).toBe(201)
      expect(sha256((await store.get(key, 1e6))!)).toBe(digest)
    }))

    testResuming('find wrong bytes in an upload that was resumed, and start it from 0', withStore(async ({ store, send }) => {
      const put = await store.signPut(key, upload, lifeMs)
      await send(put, { body: new Uint8Array(4000) })
      expect((await send(put, { body: bytes.slice(4000), headers: { 'Upload-Offset': '4000' } })).status).toBe(422)
      expect((await send(put, { method: 'HEAD' })).headers.get('Upload-Offset')).toBe('0')
      expect((await send(put, { body: bytes })).status).toBe(201)
    }))
  })
}
