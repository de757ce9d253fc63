import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve, type ServerType } from '@hono/node-server'
import { expect, test } from 'vitest'
import { createMemoryObjectStore } from '../../functions/adapters/memory/memory-object-store.ts'
import { createDiskObjectStore } from '../../functions/adapters/node/disk-object-store.ts'
import { createR2ObjectStore, type R2Bucket } from '../../functions/adapters/cloudflare/r2-object-store.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { runObjectStoreCases, serveStore, type MakeStore } from './object-store.cases.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const makeDisk: MakeStore = async (signer) => {
  const root = await mkdtemp(join(tmpdir(), 'murmur-store-'))
  return { store: createDiskObjectStore({ root, signer }), dispose: () => rm(root, { recursive: true, force: true }) }
}

/** A bucket as R2's documents describe it: a digest that does not fit throws, and nothing is stored. */
function bucketInMemory(): R2Bucket {
  const objects = new Map<string, Uint8Array<ArrayBuffer>>()
  return {
    head: async (key) => (objects.has(key) ? { size: objects.get(key)!.length } : null),
    get: async (key, options) => {
      const bytes = objects.get(key)
      if (bytes === undefined) return null
      const { offset, length } = options?.range ?? { offset: 0, length: bytes.length }
      const part = bytes.slice(offset, offset + length)
      return { size: bytes.length, body: new Blob([part]).stream(), arrayBuffer: async () => part.buffer }
    },
    put: async (key, value, options) => {
      const bytes = value instanceof Uint8Array ? value.slice() : new Uint8Array(await new Response(value as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())
      if (sha256(bytes) !== options.sha256) throw new Error('checksum')
      objects.set(key, bytes)
    },
    delete: async (keys) => keys.forEach((key) => objects.delete(key)),
  }
}

runObjectStoreCases('memory', async (signer) => ({ store: createMemoryObjectStore({ crypto: webCrypto, signer }), dispose: async () => undefined }), { resume: true })
runObjectStoreCases('disk', makeDisk, { resume: true })
runObjectStoreCases('R2', async (signer) => ({ store: createR2ObjectStore({ bucket: bucketInMemory(), crypto: webCrypto, signer }), dispose: async () => undefined }), { resume: false })

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
}), 20_000)

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
