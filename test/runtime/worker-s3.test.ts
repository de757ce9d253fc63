import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { Digest } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { needs } from '../support/needs.ts'
import { makeRelease, signManifest } from '../support/release.ts'
import { startS3, type S3Server } from '../support/start-s3.ts'
import { startSqld } from '../support/start-sqld.ts'
import { startWorker, type WorkerHost } from '../support/start-worker.ts'

const { describe, test } = needs('workerd', 'sqld', 'moto')

describe('a Worker whose bucket has an S3 endpoint', () => {
  const undo: (() => Promise<unknown>)[] = []
  let s3: S3Server
  let host: WorkerHost

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'murmur-worker-'))
    undo.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
    s3 = await startS3()
    undo.push(s3.stop)
    await s3.reset()
    const sqld = await startSqld(directory)
    undo.push(() => sqld.program.end())
    const db = await openDatabase(sqld.url)
    await migrate(db)
    db.close()
    const { endpoint, bucket, region, accessKeyId, secretAccessKey } = s3.access
    host = await startWorker({
      directory, databaseUrl: sqld.url, settings: {
        MURMUR_BROKER_URL: 'ws://127.0.0.1:9', MURMUR_BROKER_SITES_URL: 'mqtt://127.0.0.1:9', MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'x',
        MURMUR_S3_ENDPOINT: endpoint, MURMUR_S3_BUCKET: bucket, MURMUR_S3_REGION: region, MURMUR_S3_ACCESS_KEY_ID: accessKeyId, MURMUR_S3_SECRET_ACCESS_KEY: secretAccessKey,
      },
    })
    undo.push(() => host.program.end('SIGTERM'))
  })
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('signs what the store itself then checks, long objects in parts, and serves no object', async () => {
    const release = await makeRelease('1.0.0', { web: { 'index.html': 'shop' } })
    await host.client.call(contracts.createRelease, { body: { manifest: await signManifest(release, host.publisher), index: release.indexRef } })
    const [digest, bytes] = [...release.objects][0]! as [Digest, Uint8Array<ArrayBuffer>]
    const long = { digest: 'f'.repeat(64) as Digest, size: limits.partBytes + 5 }
    const { objects } = await host.client.call(contracts.signUploads, { params: { release: release.id }, body: { objects: [{ digest, size: bytes.length }, long] } })
    expect(objects.map(({ parts }) => parts)).toEqual([undefined, { partBytes: limits.partBytes, count: 2 }])
    const { upload } = objects[0]!
    expect((await fetch(upload!.url, { method: 'PUT', headers: upload!.headers, body: bytes.map((byte) => byte ^ 1) })).status).toBe(400)
    expect((await fetch(upload!.url, { method: 'PUT', headers: upload!.headers, body: bytes })).status).toBe(200)

    const tail = new Uint8Array([1, 2, 3, 4, 5])
    const facts = { number: 2, sha256: createHash('sha256').update(tail).digest('hex') as Digest, md5: createHash('md5').update(tail).digest('base64') }
    const sign = () => host.client.call(contracts.signParts, { params: { release: release.id, digest: long.digest }, body: { size: long.size, parts: [facts] } })
    const part = (await sign()).parts[0]!.upload!
    expect((await fetch(part.url, { method: 'PUT', headers: part.headers, body: tail })).status).toBe(200)
    expect((await sign()).parts).toEqual([{ number: 2, present: true, upload: null }])

    const own = await fetch(`${host.url}/objects/${new URL(upload!.url).pathname.split('/objects/')[1]}?expires=99999999999999&signature=${'0'.repeat(64)}`)
    expect([own.status, await own.json()]).toEqual([404, expect.objectContaining({ detail: expect.stringContaining('nothing answers') })])
  })
})
