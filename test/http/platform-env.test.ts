import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nodeSettings, readNodeSettings } from '../../functions/platform/env.ts'
import { describeSettings, EnvironmentError } from '../../functions/platform/parse-environment.ts'
import { readOrMakeSecret } from '../../functions/platform/secret-file.ts'
import { scheduleJobs } from '../../functions/platform/schedule-jobs.ts'

const faultsOf = (environment: Record<string, string>): readonly string[] => {
  try {
    readNodeSettings(environment)
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
