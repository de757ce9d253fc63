import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nodeSettings, readNodeSettings } from '../../functions/platform/env.ts'
import type { R2Bucket } from '../../functions/adapters/cloudflare/r2-object-store.ts'
import worker from '../../functions/entry/worker.ts'
import { readWorkerSettings, workerSettings, type WorkerBindings } from '../../functions/platform/worker-env.ts'
import { Problem } from '../../protocol/errors.ts'
import { describeSettings, EnvironmentError } from '../../functions/platform/parse-environment.ts'
import { readOrMakeSecret } from '../../functions/platform/secret-file.ts'
import { scheduleJobs } from '../../functions/platform/schedule-jobs.ts'

const faultsOf = (environment: Record<string, string>, read: (environment: Record<string, string>) => unknown = readNodeSettings): readonly string[] => {
  try {
    read(environment)
    return []
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults
    throw error
  }
}

describe('the settings of the controller on Node', () => {
  test('have defaults that work on one machine', () => {
    expect(readNodeSettings({})).toMatchObject({ MURMUR_FLEET: 'practice', HOST: '127.0.0.1', PORT: 8787, MURMUR_BROKER_PORT: 1883, MURMUR_BROKER_URL: undefined, MURMUR_LOG: 'info' })
  })

  test('are refused with everything that is wrong with them at once', () => {
    const faults = faultsOf({
      MURMUR_FLEET: 'Not A Slug', PORT: '70000', MURMUR_PUBLIC_URL: 'ftp://x', MURMUR_DATABASE_URL: 'postgres://x', MURMUR_BROKER_URL: 'http://x',
      MURMUR_BROKER_SITES_URL: 'nowhere', MURMUR_BROKER_PORT: '-1', MURMUR_LOG: 'loud', MURMUR_FLEAT: 'practice',
    })
    const named = faults.map((fault) => fault.split(':')[0]!)
    expect(named.sort()).toEqual(['MURMUR_BROKER_PORT', 'MURMUR_BROKER_SITES_URL', 'MURMUR_BROKER_URL', 'MURMUR_DATABASE_URL', 'MURMUR_FLEAT', 'MURMUR_FLEET', 'MURMUR_LOG', 'MURMUR_PUBLIC_URL', 'PORT'])
  })

  test('are refused where two of them contradict each other', () => {
    expect(faultsOf({ MURMUR_BROKER_USERNAME: 'controller' })).toEqual([expect.stringContaining('MURMUR_BROKER_URL')])
    expect(faultsOf({ MURMUR_BROKER_URL: 'mqtts://broker.example', MURMUR_BROKER_USERNAME: 'controller' })).toEqual([expect.stringContaining('without the other')])
    expect(faultsOf({ MURMUR_DATABASE_TOKEN: 'secret' })).toEqual([expect.stringContaining('MURMUR_DATABASE_URL')])
    expect(faultsOf({ MURMUR_BROKER_URL: 'mqtts://broker.example', MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'secret' })).toEqual([])
  })

  test('are refused with what is wrong with one and what is wrong between two, at once', () => {
    const faults = faultsOf({ PORT: 'x', MURMUR_BROKER_URL: 'http://x', MURMUR_BROKER_PASSWORD: 'secret', MURMUR_S3_BUCKET: 'objects', MURMUR_S3_ENDPOINT: 'nowhere' })
    expect(faults).toEqual(expect.arrayContaining([
      'PORT: must be a port number', expect.stringMatching(/^MURMUR_BROKER_URL: must be/), expect.stringContaining('one is set without the other'),
      expect.stringMatching(/^MURMUR_S3_ENDPOINT: must be/), expect.stringMatching(/^MURMUR_S3_ACCESS_KEY_ID: is missing/), expect.stringMatching(/^MURMUR_S3_SECRET_ACCESS_KEY: is missing/),
    ]))
    expect(faults.filter((fault) => fault.startsWith('MURMUR_S3_ENDPOINT: is missing'))).toEqual([])
    expect(faults.join()).not.toContain('secret')
  })

  test('name the networks and hosts that webhooks may go to, on both hosts', () => {
    expect(readNodeSettings({ MURMUR_WEBHOOK_ALLOW: '10.0.0.0/8, hooks.lan' }).MURMUR_WEBHOOK_ALLOW).toMatchObject({ hosts: new Set(['hooks.lan']), networks: [expect.anything()] })
    expect(readNodeSettings({}).MURMUR_WEBHOOK_ALLOW).toEqual({ hosts: new Set(), networks: [] })
    for (const read of [readNodeSettings, (texts: Record<string, string>) => readWorkerSettings({ OBJECTS: {} as R2Bucket, ...texts })]) {
      expect(faultsOf({ MURMUR_WEBHOOK_ALLOW: '10.0.0.0/8, 10.1, x y' }, read)).toContainEqual('MURMUR_WEBHOOK_ALLOW: neither a network such as 10.20.0.0/16 nor a host name: 10.1, x y')
    }
  })

  test('count an empty value as absent, and leave alone what the command reads', () => {
    expect(readNodeSettings({ HOST: '', PORT: '', MURMUR_TOKEN: 'x', MURMUR_URL: 'http://x', PATH: '/bin' })).toMatchObject({ HOST: '127.0.0.1', PORT: 8787 })
  })

  test('are all described', () => {
    for (const name of Object.keys(nodeSettings)) expect(describeSettings(nodeSettings)).toContain(`| \`${name}\` | `)
  })

  test('keep a wrongly set controller from starting, with the whole list on its standard error', { timeout: 60_000 }, async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../functions/entry/node.ts')], { env: { PORT: 'x', MURMUR_LOG: 'loud' }, stdio: ['ignore', 'ignore', 'pipe'] })
    let output = ''
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(1)
    expect(output).toContain('PORT: must be a port number')
    expect(output).toContain('MURMUR_LOG: must be')
  })
})

describe('the settings of the controller on Workers', () => {
  const bucket = {} as R2Bucket
  const right = {
    MURMUR_FLEET: 'shop', MURMUR_PUBLIC_URL: 'https://fleet.example', MURMUR_DATABASE_URL: 'libsql://db.example', MURMUR_BROKER_URL: 'wss://broker.example', MURMUR_BROKER_USERNAME: 'controller',
    MURMUR_BROKER_PASSWORD: 'secret-of-the-broker', MURMUR_BROKER_SITES_URL: 'mqtts://broker.example', MURMUR_FLEET_KEY: `MC4CAQAwBQYDK2VwBCIEI${'A'.repeat(43)}`, MURMUR_INGEST_SECRET: 'A'.repeat(44),
  }
  const workerFaults = (more: Record<string, string | undefined>, bindings: { OBJECTS?: R2Bucket } = { OBJECTS: bucket }) => {
    const environment = Object.fromEntries(Object.entries({ ...right, ...more }).filter((entry): entry is [string, string] => entry[1] !== undefined))
    return faultsOf(environment, (values) => readWorkerSettings({ ...values, ...bindings } as WorkerBindings))
  }

  test('are taken when they are right', () => {
    expect(workerFaults({})).toEqual([])
  })

  test('are refused with every fault at once, alone and between two, and without a secret in the list', () => {
    const faults = workerFaults({ MURMUR_FLEET: undefined, MURMUR_FLEET_KEY: 'A'.repeat(64), MURMUR_DATABASE_URL: 'file:x', MURMUR_INGEST_SECRET: 'too-short-secret', MURMUR_BROKER_PASSWORD: undefined, MURMUR_TYPO: '1' }, {})
    expect(faults.map((fault) => fault.split(':')[0]).sort()).toEqual(['MURMUR_BROKER_PASSWORD', 'MURMUR_DATABASE_URL', 'MURMUR_FLEET', 'MURMUR_FLEET_KEY', 'MURMUR_INGEST_SECRET', 'MURMUR_TYPO', 'OBJECTS'])
    expect(faults).toContain('MURMUR_FLEET: is missing')
    expect(faults.join()).not.toMatch(/too-short-secret|secret-of-the-broker/)
  })

  test('are all described', () => {
    for (const name of Object.keys(workerSettings)) expect(describeSettings(workerSettings)).toContain(`| \`${name}\` | `)
  })

  test('make a 503 of a Worker that has wrong ones, which lists them', async () => {
    const response = await worker.fetch(new Request('https://fleet.example/v1/sites'), { MURMUR_FLEET: 'Not A Slug', MURMUR_FLEET_KEY: 'secret-but-short' } as unknown as WorkerBindings, { waitUntil: () => undefined })
    const problem = Problem.parse(await response.json())
    expect([response.status, problem.code, problem.reason, response.headers.get('retry-after')]).toEqual([503, 'unavailable', 'settings', '300'])
    expect(problem.errors).toEqual(expect.arrayContaining([{ path: 'MURMUR_DATABASE_URL', message: 'is missing' }, { path: 'OBJECTS', message: 'the R2 bucket is not bound' }]))
    expect(JSON.stringify(problem)).not.toContain('secret-but-short')
  })
})

describe('a secret file', () => {
  test('is made once, whoever asks first', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'murmur-secret-'))
    let made = 0
    const texts = await Promise.all(Array.from({ length: 20 }, () => readOrMakeSecret(join(directory, 'keys', 'secret'), () => `secret ${++made}`)))
    expect(new Set(texts).size).toBe(1)
    await rm(directory, { recursive: true })
  })
})

describe('the schedule', () => {
  test('runs a job again and again, never twice at a time, whatever it throws, and waits for it when it stops', async () => {
    let running = 0
    let most = 0
    let runs = 0
    const { promise, resolve } = Promise.withResolvers<void>()
    const log = { write: () => undefined }
    const job = {
      name: 'job', everyMs: 1,
      async run() {
        most = Math.max(most, ++running)
        await new Promise((wake) => setTimeout(wake, 2))
        running--
        if (++runs === 5) resolve()
        throw new Error('this time it did not work')
      },
    }
    const schedule = scheduleJobs([job], log)
    await promise
    await schedule.stop()
    const atStop = runs
    expect(running).toBe(0)
    expect(most).toBe(1)
    await new Promise((wake) => setTimeout(wake, 10))
    expect(runs).toBe(atStop)
  })
})
