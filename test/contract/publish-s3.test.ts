import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { createS3ObjectStore } from '../../functions/adapters/aws/s3-object-store.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { readNodeSettings } from '../../functions/platform/env.ts'
import { openNodeObjectStore } from '../../functions/platform/node-object-store.ts'
import { readWorkerSettings, type WorkerBindings } from '../../functions/platform/worker-env.ts'
import { openWorkerObjectStore } from '../../functions/platform/worker-object-store.ts'
import { limits } from '../../protocol/limits.ts'
import { needs } from '../support/needs.ts'
import { startS3, type S3Server } from '../support/start-s3.ts'
import { startBench, type Bench } from '../cli/command.support.ts'

const { describe, test } = needs('moto')
const partBytes = 5 * 1024 * 1024
const sizeBytes = 18_000_000

describe('publishing to a store with the S3 API', () => {
  let s3: S3Server
  let bench: Bench
  beforeAll(async () => void (s3 = await startS3()), 60_000)
  afterAll(() => s3?.stop())
  beforeEach(async () => {
    await s3.reset()
    bench = await startBench()
    const clock = { nowMs: () => Date.now() }
    bench.controller.deps.store = createS3ObjectStore({ ...s3.access, clock, crypto: nodeCrypto, partBytes })
  })
  afterEach(() => bench.close())

  const publish = (file: string, more: Parameters<Bench['murmur']>[1] = {}) => bench.murmur(['release', 'publish', file, '--key', bench.keyPath], { as: 'publisher', ...more })

  async function makeRelease(): Promise<string> {
    await mkdir(join(bench.directory, 'big'))
    await writeFile(join(bench.directory, 'big', 'blob'), randomBytes(sizeBytes))
    await writeFile(join(bench.directory, 'big', 'small'), 'a small file')
    const file = join(bench.directory, 'release.yaml')
    await writeFile(file, 'name: big\nversion: 1.0.0\ncomponents:\n  - name: blob\n    source: big\n    driver: files\n    target: /srv/big\n')
    return file
  }

  /** Notes what goes to the store itself; nothing answers any more after `uploadsMax` uploads. */
  function watch(uploadsMax = Number.POSITIVE_INFINITY): { fetch: typeof fetch; parts: number[]; whole: number } {
    const seen: { fetch: typeof fetch; parts: number[]; whole: number } = {
      parts: [], whole: 0,
      fetch: async (input, init) => {
        if (init?.method === 'PUT' && String(input).startsWith(s3.endpoint)) {
          if (seen.parts.length + seen.whole >= uploadsMax) throw new TypeError('the network is gone')
          const part = new URL(String(input)).searchParams.get('partNumber')
          if (part === null) seen.whole++
          else seen.parts.push(Number(part))
        }
        return bench.reach(input, init)
      },
    }
    return seen
  }

  test('long objects go in parts, and no byte of any object through the controller', async () => {
    const file = await makeRelease()
    const paths: string[] = []
    const seen = watch()
    const fetching: typeof fetch = (input, init) => {
      if (String(input).startsWith(bench.url) && init?.method === 'PUT') paths.push(new URL(String(input)).pathname)
      return seen.fetch(input, init)
    }
    const ended = await publish(file, { fetch: fetching })
    expect([ended.code, ended.err]).toEqual([0, expect.stringContaining('big@1.0.0 is available')])
    expect(seen.parts.sort()).toEqual([1, 2, 3, 4])
    expect(seen.whole).toBeGreaterThan(1)
    expect(paths).toEqual([expect.stringMatching(/^\/v1\/releases\/big%401\.0\.0\/uploads\/[0-9a-f]{64}$/)])
    expect(s3.refusals().filter((text) => !text.includes('SignatureDoesNotMatch'))).toEqual([])
  })

  test('an upload that was interrupted sends only the parts that are missing when it is repeated', async () => {
    const file = await makeRelease()
    const broken = watch(4)
    expect((await publish(file, { fetch: broken.fetch })).code).toBe(6)
    expect(broken.parts.length).toBeGreaterThan(0)
    const again = watch()
    expect((await publish(file, { fetch: again.fetch })).code).toBe(0)
    expect([...broken.parts, ...again.parts].sort()).toEqual([1, 2, 3, 4])
  })

  test('a part that arrives changed is found by the store, and nothing becomes available (F1, F10)', async () => {
    const file = await makeRelease()
    const seen = watch()
    const ended = await publish(file, {
      fetch: async (input, init) => {
        if (!String(input).includes('partNumber=2')) return seen.fetch(input, init)
        const chunks: Uint8Array[] = []
        for await (const chunk of init!.body as ReadableStream<Uint8Array>) chunks.push(chunk)
        const bytes = Buffer.concat(chunks)
        return seen.fetch(input, { ...init, body: bytes.map((byte) => byte ^ 1) })
      },
    })
    expect([ended.code, ended.err]).toEqual([9, expect.stringContaining('was changed after it was scanned')])
    expect((await bench.controller.call('getRelease', { params: { release: 'big@1.0.0' } })).body.state).toBe('uploading')
  })

  test('collected releases are gone from the bucket', async () => {
    await publish(await makeRelease())
    await bench.murmur(['release', 'withdraw', 'big@1.0.0', '--reason', 'a trial'])
    const planned = await bench.murmur(['release', 'collect'])
    expect([planned.code, planned.out]).toEqual([0, expect.stringMatching(/goes {2}big@1\.0\.0 \(withdrawn, .*\): it was withdrawn.*\n1 release would give up \d+ objects/)])
    expect((await bench.murmur(['release', 'collect', '--apply'])).code).toBe(2)
    const done = await bench.murmur(['release', 'collect', '--apply', '--yes'])
    expect([done.code, done.out]).toEqual([0, expect.stringContaining('1 release gave up')])
    const listed = await fetch(await listUrl())
    expect(await listed.text()).not.toContain('<Key>objects/')
  })

  /** The bucket's listing, asked of moto through a URL that the store signs for the empty key's place. */
  async function listUrl(): Promise<string> {
    const { AwsV4Signer } = await import('aws4fetch')
    const { endpoint, bucket, ...access } = s3.access
    const { url } = await new AwsV4Signer({ ...access, url: `${endpoint}/${bucket}?list-type=2&X-Amz-Expires=60`, service: 's3', signQuery: true }).sign()
    return url.toString()
  }
})

const s3Settings = { MURMUR_S3_ENDPOINT: 'https://account.r2.cloudflarestorage.com', MURMUR_S3_BUCKET: 'fleet', MURMUR_S3_ACCESS_KEY_ID: 'id', MURMUR_S3_SECRET_ACCESS_KEY: 'secret' }
const signing = { baseUrl: 'https://fleet.test', secret: new Uint8Array(32), clock: { nowMs: () => 0 }, crypto: nodeCrypto }
const bindings = { OBJECTS: {} as WorkerBindings['OBJECTS'], MURMUR_FLEET: 'practice', MURMUR_PUBLIC_URL: 'https://fleet.test', MURMUR_DATABASE_URL: 'https://db.test', MURMUR_BROKER_URL: 'wss://b.test', MURMUR_BROKER_USERNAME: 'u', MURMUR_BROKER_PASSWORD: 'p', MURMUR_BROKER_SITES_URL: 'mqtts://b.test', MURMUR_FLEET_KEY: `MC4CAQAwBQYDK2VwBCIEI${'A'.repeat(43)}`, MURMUR_INGEST_SECRET: 'A'.repeat(64) }

describe('where the store signs', () => {
  const opened = {
    Node: (s3: Record<string, string>) => openNodeObjectStore(readNodeSettings(s3), signing),
    Workers: (s3: Record<string, string>) => openWorkerObjectStore(readWorkerSettings({ ...bindings, ...s3 }), { ...bindings, ...s3 }, signing),
  }
  test.each(['Node', 'Workers'] as const)('no route for objects is served on %s, and URLs lead to the store', async (host) => {
    const { store, route } = opened[host](s3Settings)
    const key = `objects/aa/${'a'.repeat(64)}`
    expect(route).toBeNull()
    for (const { url } of [await store.signGet(key, 60_000), await store.signPut(key, { sha256: 'a'.repeat(64), size: 1 }, 60_000)]) expect(url.startsWith(`${s3Settings.MURMUR_S3_ENDPOINT}/fleet/${key}?`)).toBe(true)
    expect(store.parts?.partBytes).toBe(limits.partBytes)
  })

  test.each(['Node', 'Workers'] as const)('without such a store the signed route is served on %s', async (host) => {
    const { store, route } = opened[host]({})
    expect([route === null, store.parts]).toEqual([false, undefined])
    expect((await store.signGet(`objects/aa/${'a'.repeat(64)}`, 60_000)).url).toMatch(/^https:\/\/fleet\.test\/objects\//)
  })
})
