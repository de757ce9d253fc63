import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { runHttpSenderCases } from '../contract/http-sender.cases.ts'
import { needs } from '../support/needs.ts'
import { startBareWorker } from '../support/start-worker.ts'
import { startResolver } from '../support/start-resolver.ts'
import type { Errand } from './sending-worker.ts'

const { describe } = needs('workerd')
const ends: (() => unknown)[] = []
let directory: string
let worker: Awaited<ReturnType<typeof startBareWorker>>

describe('in real workerd', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-sender-'))
    await mkdir(join(directory, 'bundle'))
    worker = await startBareWorker(directory, 'test/runtime/sending-worker.ts')
  })
  afterAll(async () => {
    await worker.program.end()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })

  runHttpSenderCases('Workers', async (allowed, names) => {
    const resolverUrl = (await startResolver(names, ends)).url
    const ask = async <T>(what: { judge: string } | { send: object }): Promise<T> => {
      const errand = { allowed, resolverUrl, ...what } as Errand
      return (await fetch(`${worker.url}/errand`, { method: 'POST', body: JSON.stringify(errand) })).json() as Promise<T>
    }
    return { judge: (url) => ask({ judge: url }), send: (request) => ask({ send: request }) }
  }, ends)
})
