import { createClient, type InValue, type Value } from '@libsql/client'
import { toDatabaseFault } from './database-fault.ts'

/** How often the transaction is used while something else is waited for. */
const keepMs = 3000

/** A database as it was at one moment, however long it is read and whatever is written meanwhile. */
export type Snapshot = {
  /** Rows as lists of values, in the order of the columns asked for. */
  rows(sql: string, args?: InValue[]): Promise<Value[][]>
  /** Waits for something else, and keeps the transaction from being ended meanwhile: servers end one that is left alone for ten seconds. */
  during<T>(work: Promise<T>): Promise<T>
  close(): void
}

/**
 * Opens a read transaction of its own beside whoever works with the database: a file, sqld or Turso, by URL. It blocks nobody's writes.
 */
export async function openSnapshot(url: string, authToken?: string): Promise<Snapshot> {
  const client = createClient({ url, authToken, concurrency: 1 })
  const transaction = await client.transaction('read').catch((error: unknown) => {
    client.close()
    throw toDatabaseFault(error)
  })
  const read: Snapshot['rows'] = async (sql, args = []) => {
    try {
      const { rows, columns } = await transaction.execute({ sql, args })
      return rows.map((row) => columns.map((_, i) => row[i]!))
    } catch (error) {
      throw toDatabaseFault(error)
    }
  }
  return {
    rows: read,
    async during(work) {
      const ended = work.then(() => true, () => true)
      for (;;) {
        const { promise, resolve } = Promise.withResolvers<boolean>()
        const timer = setTimeout(() => resolve(false), keepMs)
        const isOver = await Promise.race([ended, promise])
        clearTimeout(timer)
        if (isOver) return work
        await read('SELECT 1')
      }
    },
    close() {
      transaction.close()
      client.close()
    },
  }
}
