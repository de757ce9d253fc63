import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { needs } from '../support/needs.ts'
import { bundleWorker } from '../support/start-worker.ts'

const { describe, test } = needs('workerd')

/** What a Worker may weigh on the smallest plan has been as little as this, compressed. */
const gzipBytesMax = 1_000_000

describe('the bundle for Workers, as wrangler deploy --dry-run makes it', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-bundle-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test('is made without a warning, and weighs less than 1 MB compressed', async () => {
    const { script, output } = await bundleWorker(directory)
    expect(output).not.toMatch(/warn|error|deprecat/i)
    expect(output).toContain('--dry-run: exiting now.')
    const code = await readFile(script)
    expect(code.toString()).toContain('scheduled')
    expect(gzipSync(code).length).toBeLessThan(gzipBytesMax)
  })
})
