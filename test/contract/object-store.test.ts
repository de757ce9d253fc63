import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve, type ServerType } from '@hono/node-server'
import { getPlatformProxy } from 'wrangler'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../functions/adapters/memory/memory-object-store.ts'
import { createDiskObjectStore } from '../../functions/adapters/node/disk-object-store.ts'
import { createR2ObjectStore, type R2Bucket } from '../../functions/adapters/cloudflare/r2-object-store.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { needs } from '../support/needs.ts'
import { runObjectRouteCases, serveStore, type MakeStore } from './object-route.cases.ts'
import { runObjectStoreCases } from './object-store.cases.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const makeDisk: MakeStore = async (signer) => {
  const root = await mkdtemp(join(tmpdir(), 'murmur-store-'))
  return { store: createDiskObjectStore({ root, signer }), dispose: () => rm(root, { recursive: true, force: true }) }
}

const makeMemory: MakeStore = async (signer) => ({ store: createMemoryObjectStore({ crypto: webCrypto, signer }), dispose: async () => undefined })

for (const [name, make] of [['memory', makeMemory], ['disk', makeDisk]] as const) {
  runObjectStoreCases(name, () => serveStore(make))
  runObjectRouteCases(name, make, { resume: true })
}

const workerd = needs('workerd')
workerd.describe('with an R2 bucket in workerd', () => {
  let platform: Awaited<ReturnType<typeof getPlatformProxy<{ OBJECTS: R2Bucket & { list(): Promise<{ objects: { key: string }[] }> } }>>>
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-r2-'))
    platform = await getPlatformProxy({ configPath: join(import.meta.dirname, '../../wrangler.toml'), persist: { path: directory } })
  })
  afterAll(async () => {
    await platform?.dispose()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })

  const makeR2: MakeStore = async (signer) => {
    const { OBJECTS } = platform.env
    // R2 takes streams of known length only: in a Worker a request's body has one, but it gets lost on the way from here into workerd
    const known = async (value: ReadableStream<Uint8Array> | Uint8Array) => (value instanceof Uint8Array ? value : new Uint8Array(await new Response(value as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer()))
    const bucket: R2Bucket = { head: (key) => OBJECTS.head(key), get: (key, options) => OBJECTS.get(key, options), put: async (key, value, options) => OBJECTS.put(key, await known(value), options), delete: (keys) => OBJECTS.delete(keys) }
    return {
      store: createR2ObjectStore({ bucket, crypto: webCrypto, signer }),
      dispose: async () => bucket.delete((await OBJECTS.list()).objects.map(({ key }) => key)),
    }
  }
  runObjectStoreCases('R2', () => serveStore(makeR2))
  runObjectRouteCases('R2', makeR2, { resume: false })
})

async function withServer(use: (served: Awaited<ReturnType<typeof serveStore>>, port: number) => Promise<void>): Promise<void> {
  const served = await serveStore(makeDisk)
  const server = await new Promise<ServerType>((resolve) => {
    const started: ServerType = serve({ fetch: served.app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(started))
  })
  try {
    await use(served, (server.address() as AddressInfo).port)
  } finally {
    if ('closeAllConnections' in server) server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await served.dispose()
  }
}

test('an upload over a connection that breaks is resumed over another, also while the first only seems alive', () => withServer(async ({ store }, port) => {
  const bytes = new Uint8Array(12 * 1024 * 1024).map((_, i) => i % 251)
  const upload = { sha256: sha256(bytes), size: bytes.length }
  const put = await store.signPut(storeKeys.object(upload.sha256), upload, 60_000)
  const url = new URL(put.url)
  const here = `http://127.0.0.1:${port}${url.pathname}${url.search}`
  const offsetOf = async (): Promise<number> => Number((await fetch(here, { method: 'HEAD' })).headers.get('Upload-Offset'))
  const sendSome = async (offset: number, length: number) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length - offset}\r\nUpload-Offset: ${offset}\r\n\r\n`)
    socket.write(bytes.subarray(offset, offset + length))
    await expect.poll(offsetOf, { timeout: 5_000 }).toBe(offset + length)
    return socket
  }
  const first = await sendSome(0, 5 * 1024 * 1024)
  first.destroy()
  const second = await sendSome(5 * 1024 * 1024, 1024 * 1024)
  expect(await store.head(storeKeys.object(upload.sha256))).toBeNull()
  const offset = await offsetOf()
  const rest = await fetch(here, { method: 'PUT', body: bytes.subarray(offset), headers: { 'Upload-Offset': String(offset) } })
  expect(rest.status).toBe(201)
  second.destroy()
  const ranged = await fetch(here.replace(/\?.*/, new URL((await store.signGet(storeKeys.object(upload.sha256), 60_000)).url).search), { headers: { Range: 'bytes=1000-8999999' } })
  expect(sha256(await ranged.bytes())).toBe(sha256(bytes.subarray(1000, 9_000_000)))
}))

test('the disk store leaves nothing but the objects behind', async () => {
  const root = await mkdtemp(join(tmpdir(), 'murmur-store-'))
  try {
    const store = createDiskObjectStore({ root, signer: { signGet: () => Promise.reject(new Error('unused')), signPut: () => Promise.reject(new Error('unused')) } })
    const bytes = new Uint8Array([1, 2, 3])
    const key = storeKeys.object(sha256(bytes))
    await store.put(key, bytes, sha256(bytes))
    await store.receive(key, { sha256: sha256(bytes), size: 3 }, 0, new Blob([bytes]).stream())
    await store.receive(key, { sha256: sha256(bytes), size: 2 }, 0, new Blob([bytes.slice(1)]).stream()).catch(() => undefined)
    expect(await readdir(join(root, 'arriving'))).toEqual([])
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})
