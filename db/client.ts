import { createClient, LibsqlError, type Client, type InStatement, type InValue, type ResultSet } from '@libsql/client'
import { drizzle, type LibSQLDatabase } from 'drizzle-orm/libsql'
import { wellFormedJson } from '../protocol/bytes.ts'
import { DatabaseFault, isBusy, toDatabaseFault } from './database-fault.ts'

/** One SQL statement with its arguments; drizzle's `toSQL()` gives `params`, which `statement` takes over. */
export type Statement = { sql: string; args: InValue[] }

/** The value that must still be what was read: `sql` selects one value, and `is` is what it was. */
export type Guard = Statement & { is: InValue }

/** The world moved on between the read and the write: nothing was written. Read again. */
export class GuardLost extends Error {
  constructor() {
    super('a guard of the batch was lost: nothing was written')
    this.name = 'GuardLost'
  }
}

/**
 * libSQL by URL: `:memory:`, `file:…`, `http(s)://…` (sqld, Turso). Reads go through `orm`, writes through `write`. Whatever is asked rejects
 * with a DatabaseFault (`findDatabaseFault`) when the database is away, at its quota, busy or closed to us.
 */
export interface Database {
  orm: LibSQLDatabase
  /** All statements or none, provided all guards hold. Rejects with GuardLost when one does not. One round trip. */
  write(statements: readonly Statement[], guards?: readonly Guard[]): Promise<readonly ResultSet[]>
  /** Several statements of one text, outside any batch: migrations and nothing else. */
  script(sql: string): Promise<void>
  close(): void
}

const busyAttemptsMax = 5
/** A database over the network that has not answered by then is away. */
const answerMsMax = 30_000

const isLocal = (url: string): boolean => url === ':memory:' || url.startsWith('file:')
// over HTTP the extended code is missing, so the name that our own schema gives the constraint has to tell
const isGuard = (error: unknown): boolean => error instanceof LibsqlError && error.code.startsWith('SQLITE_CONSTRAINT') && error.message.includes('guard_lost')

export function statement(query: { toSQL(): { sql: string; params: unknown[] } }): Statement {
  const { sql, params } = query.toSQL()
  return { sql, args: params as InValue[] }
}

/** Half a surrogate pair, in a text or in JSON that SQL reads, would be stored as bytes that nobody can read again. */
const readable = (input: InStatement): InStatement =>
  typeof input === 'string' || !Array.isArray(input.args) ? input : { sql: input.sql, args: input.args.map((arg) => (typeof arg === 'string' ? wellFormedJson(arg).toWellFormed() : arg)) }

/** `fetch` for the client: ends, and reads the answer here, so that a connection that breaks is told from a mistake of ours. */
async function fetchInTime(request: Request): Promise<Response> {
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(answerMsMax) })
    return new Response(await response.arrayBuffer(), response)
  } catch (error) {
    throw new DatabaseFault('database-away', error)
  }
}

/**
 * Opens a database. In one process a file must be opened once: one connection, one lock, so that SQLITE_BUSY cannot arise here. Over the
 * network at most `requestsMax` requests are under way, and others wait for them. On Workers it must be Infinity: a request that ends early
 * there never gives its place back, and one that waits would be made on behalf of another.
 */
export async function openDatabase(url: string, authToken?: string, requestsMax = 20): Promise<Database> {
  const local = isLocal(url)
  const open = async (): Promise<Client> => {
    const client = createClient({ url, authToken, concurrency: local ? 1 : requestsMax, fetch: fetchInTime })
    if (local) for (const pragma of ['journal_mode=WAL', 'synchronous=NORMAL', 'foreign_keys=ON', 'temp_store=MEMORY', 'cache_size=-32768']) await client.execute(`PRAGMA ${pragma}`)
    return client
  }
  let client = await open()
  let tail: Promise<unknown> = Promise.resolve()
  let sinceYield = 0

  /** A connection that has seen BUSY cannot be trusted again (libsql 0.5: its statement is not reset). */
  async function attempt<T>(work: (client: Client) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work(client)
      } catch (error) {
        if (!isBusy(error) || tries === busyAttemptsMax) throw toDatabaseFault(error)
        if (local) {
          client.close()
          client = await open()
        }
        await new Promise((resolve) => setTimeout(resolve, 10 * tries))
      }
    }
  }

  /** Local statements run one after the other, and let the event loop turn now and then: native statements are freed only then. */
  function queued<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (!local) return attempt(work)
    const result = tail.then(async () => {
      if (++sinceYield % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
      return attempt(work)
    })
    tail = result.catch(() => undefined)
    return result
  }

  const facade = {
    execute: (input: InStatement) => queued((c) => c.execute(readable(input))),
    batch: (inputs: InStatement[], mode?: 'read' | 'write' | 'deferred') => queued((c) => c.batch(inputs.map(readable), mode ?? 'read')),
  } as unknown as Client

  return {
    orm: drizzle(facade),
    async write(statements, guards = []) {
      const held = guards.map((guard): InStatement => ({ sql: `INSERT INTO guard (held) SELECT 0 WHERE (${guard.sql}) IS NOT ?`, args: [...guard.args, guard.is] }))
      try {
        const results = await queued((c) => c.batch([...held, ...statements].map(readable), 'write'))
        return results.slice(held.length)
      } catch (error) {
        if (isGuard(error)) throw new GuardLost()
        throw error
      }
    },
    script: (sql) => queued((c) => c.executeMultiple(sql)),
    close: () => client.close(),
  }
}
