import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createS3ObjectStore } from '../../functions/adapters/aws/s3-object-store.ts'
import type { PartFacts, SignedRequest } from '../../functions/ports/object-store.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { FleetError } from '../../protocol/errors.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { needs } from '../support/needs.ts'
import { startS3, s3Access, type S3Server } from '../support/start-s3.ts'
import { runObjectStoreCases, type OpenedStore } from './object-store.cases.ts'

const { describe } = needs('moto')
/** The least that S3 takes for any part but the last. */
const partBytes = 5 * 1024 * 1024
const lifeMs = 60_000

const send = (request: SignedRequest, init: RequestInit = {}): Promise<Response> => fetch(request.url, { method: request.method, ...init, headers: { ...request.headers, ...(init.headers as Record<string, string> | undefined) } })

describe('with the S3 API', () => {
  let s3: S3Server
  beforeAll(async () => void (s3 = await startS3()), 60_000)
  afterAll(() => s3?.stop())

  async function open(more: { callMs?: number } = {}) {
    await s3.reset()
    const clock = { now: Date.now(), nowMs: () => clock.now }
    return { store: createS3ObjectStore({ ...s3.access, clock, crypto: webCrypto, partBytes, ...more }), clock, send, dispose: async () => undefined } satisfies OpenedStore
  }
  runObjectStoreCases('S3', open)

  const bytes = new Uint8Array(12 * 1024 * 1024).map((_, i) => (i * 31) % 251)
  const key = storeKeys.object(createHash('sha256').update(bytes).digest('hex'))
  const partOf = (number: number): Uint8Array<ArrayBuffer> => bytes.slice((number - 1) * partBytes, number * partBytes)
  const facts = (number: number): PartFacts => {
    const part = partOf(number)
    return { number, size: part.length, sha256: createHash('sha256').update(part).digest('hex'), md5: createHash('md5').update(part).digest('base64') }
  }
  const all = [1, 2, 3].map(facts)
  const put = async (request: SignedRequest | null | undefined, body: Uint8Array<ArrayBuffer>): Promise<number> => (await send(request!, { body })).status

  test('a long object goes up in parts, and is there only once it is complete', async () => {
    const { store } = await open()
    const signed = await store.parts.sign(key, all, lifeMs)
    for (const [i, request] of signed.entries()) expect(await put(request, partOf(i + 1))).toBe(200)
    expect(await store.head(key)).toBeNull()
    await store.parts.complete(key, bytes.length)
    expect(await store.head(key)).toEqual({ size: bytes.length })
    expect(Buffer.from((await store.get(key, bytes.length))!).equals(bytes)).toBe(true)
    await store.parts.complete(key, bytes.length)
    const tail = await send(await store.signGet(key, lifeMs), { headers: { range: 'bytes=12582900-' } })
    expect(await tail.bytes()).toEqual(bytes.slice(12_582_900))
  })

  test('an upload that broke off goes on with the parts that are missing, and says which they are (F56)', async () => {
    const { store } = await open()
    const [, second] = await store.parts.sign(key, all, lifeMs)
    await put(second, partOf(2))
    await expect(store.parts.complete(key, bytes.length)).rejects.toMatchObject({ code: 'conflict', reason: 'parts-missing', message: expect.stringContaining('parts 1, 3 of 3') })
    const again = await store.parts.sign(key, all, lifeMs)
    expect(again.map((request) => request === null)).toEqual([false, true, false])
    await put(again[0], partOf(1))
    await put(again[2], partOf(3))
    await store.parts.complete(key, bytes.length)
    expect(await store.head(key)).toEqual({ size: bytes.length })
  })

  test('a part of other bytes, or of another place, is refused, and one that was sent with other bytes is sent again (F1)', async () => {
    const { store } = await open()
    const [first, second, third] = await store.parts.sign(key, all, lifeMs)
    expect(await put(first, partOf(2))).toBe(400)
    expect(await put({ ...first!, headers: { ...first!.headers, 'x-amz-content-sha256': facts(2).sha256 } }, partOf(2))).toBe(403)
    expect(await put({ ...first!, url: first!.url.replace('partNumber=1', 'partNumber=2') }, partOf(1))).toBe(403)
    const { 'content-length': length, ...headers } = third!.headers
    expect(length).toBe(String(partOf(3).length))
    expect(await put({ ...third!, headers }, partOf(2))).toBe(403)
    await put(second, partOf(2))
    const wrong = { ...facts(1), number: 2 }
    expect((await store.parts.sign(key, [wrong], lifeMs))[0]).not.toBeNull()
  })

  test('two publishers of one object share its upload', async () => {
    const { store } = await open()
    const [one] = await store.parts.sign(key, all, lifeMs)
    const [, two, three] = await store.parts.sign(key, all, lifeMs)
    await Promise.all([put(one, partOf(1)), put(two, partOf(2)), put(three, partOf(3))])
    await Promise.all([store.parts.complete(key, bytes.length), store.parts.complete(key, bytes.length)])
    expect(await store.head(key)).toEqual({ size: bytes.length })
  })

  test('uploads that nobody goes on with are swept, and younger ones stay', async () => {
    const { store } = await open()
    await store.parts.sign(key, all, lifeMs)
    // moto gives every upload the same date in 2010
    expect(await store.unfinished.sweep(Date.UTC(2009, 0))).toBe(0)
    expect(await store.unfinished.sweep(Date.UTC(2011, 0))).toBe(1)
    await expect(store.parts.complete(key, bytes.length)).rejects.toMatchObject({ reason: 'parts-missing' })
  })

  test('an upload that was begun long ago stays while parts of it still come', async () => {
    const { store } = await open()
    const [first] = await store.parts.sign(key, all, lifeMs)
    expect(await put(first, partOf(1))).toBe(200)
    expect(await store.unfinished.sweep(Date.now() - 60_000)).toBe(0)
    expect(await store.parts.sign(key, all, lifeMs)).toEqual([null, expect.anything(), expect.anything()])
    expect(await store.unfinished.sweep(Date.now() + 60_000)).toBe(1)
  })

  const codeOf = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'no error', (error: unknown) => (error instanceof FleetError ? [error.code, error.message] : error))

  test('a store that answers 500 for a moment is asked again; one that goes on is unavailable (F56)', async () => {
    const { store } = await open()
    let left = 2
    s3.disturb(() => (left-- > 0 ? { status: 500, body: '<Error><Code>InternalError</Code></Error>' } : null))
    expect(await store.head(key)).toBeNull()
    s3.disturb(() => ({ status: 503, body: '<Error><Code>SlowDown</Code></Error>' }))
    const works = [() => store.get(key, 10), () => store.put(key, bytes, key.slice(-64)), () => store.remove([key]), () => store.parts.sign(key, all, lifeMs), () => store.unfinished.sweep(0)]
    for (const work of works) expect(await codeOf(work())).toEqual(['unavailable', expect.stringContaining('503')])
  })

  test('an answer without a length is no size', async () => {
    const server = createServer((_, response) => void response.writeHead(200).end()).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const store = createS3ObjectStore({ ...s3Access, endpoint, clock: { nowMs: () => Date.now() }, crypto: webCrypto })
    expect(await codeOf(store.head(key))).toEqual(['unavailable', expect.stringContaining('refuses HEAD')])
  })

  test('a store that does not answer in time is unavailable', async () => {
    const { store } = await open({ callMs: 50 })
    s3.disturb(() => 'hang')
    expect(await codeOf(store.head(key))).toEqual(['unavailable', expect.stringContaining('did not answer in time')])
  })

  test('a wrong key, a missing bucket and a wrong clock are told apart', async () => {
    const { clock } = await open()
    const other = (more: Partial<typeof s3Access>) => createS3ObjectStore({ ...s3.access, ...more, clock, crypto: webCrypto })
    expect(await codeOf(other({ secretAccessKey: 'guessed' }).get(key, 10))).toEqual(['unavailable', expect.stringContaining('rights on the bucket')])
    expect(await codeOf(other({ bucket: 'nowhere' }).remove([key]))).toEqual(['unavailable', expect.stringContaining('there is no such bucket')])
    clock.now -= 3_600_000
    expect(await codeOf(other({}).remove([key]))).toEqual(['unavailable', expect.stringContaining('the clock')])
    expect(s3.refusals().some((text) => text.includes('RequestTimeTooSkewed'))).toBe(true)
  })

  test('AWS is asked under the name of the bucket, everybody else under its path', async () => {
    const clock = { nowMs: () => 0 }
    const urlAt = async (endpoint: string, bucket = 'fleet') => (await createS3ObjectStore({ ...s3Access, endpoint, bucket, clock, crypto: webCrypto }).signGet(key, lifeMs)).url.split('?')[0]
    expect(await urlAt('https://s3.eu-central-1.amazonaws.com')).toBe(`https://fleet.s3.eu-central-1.amazonaws.com/${key}`)
    expect(await urlAt('https://s3.eu-central-1.amazonaws.com', 'my.fleet')).toBe(`https://s3.eu-central-1.amazonaws.com/my.fleet/${key}`)
    expect(await urlAt('https://account.r2.cloudflarestorage.com')).toBe(`https://account.r2.cloudflarestorage.com/fleet/${key}`)
  })
})
