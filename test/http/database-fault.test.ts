import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterEach, describe, expect, test } from 'vitest'
import { openDatabase, type Database } from '../../db/client.ts'
import { findDatabaseFault } from '../../db/database-fault.ts'
import { migrate } from '../../db/migrate.ts'
import { refuseStatements } from '../support/hrana-proxy.ts'
import { startController } from '../support/controller.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Something that answers every request like this, in a database's place. */
async function answering(status: number, body: string): Promise<Database> {
  const server: Server = createServer((request, response) => {
    let asked = ''
    request.on('data', (piece: Buffer) => (asked += piece.toString()))
    request.on('end', () => {
      if (status === 0) return void request.socket.destroy()
      const answer = body === blocked ? refuseStatements({ n: 1, method: 'POST', path: '/', body: asked }, 'BLOCKED', 'Operation was blocked') : { status, body }
      response.writeHead(answer.status).end(answer.body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  undo.push(() => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  }))
  const db = await openDatabase(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  undo.push(() => db.close())
  return db
}
/** Each statement by itself is refused, as sqld and Turso refuse what a quota forbids. */
const blocked = 'blocked'
const reasonOf = (work: Promise<unknown>): Promise<string | undefined> => work.then(() => 'it worked', (error: unknown) => findDatabaseFault(error)?.reason)

describe('what a database over the network refuses', () => {
  test.each([
    ['statements that a quota forbids (F55)', 200, blocked, 'database-quota'],
    ['everything, by 429', 429, '{}', 'database-quota'],
    ['our token', 401, '{}', 'database-denied'],
    ['a name it does not have', 404, '{}', 'database-denied'],
    ['by failing', 503, 'upstream', 'database-away'],
    ['by answering something else', 200, '<html>', 'database-away'],
    ['by breaking the connection', 0, '', 'database-away'],
  ])('%s is told apart', async (_, status, body, reason) => {
    const db = await answering(status, body)
    expect(await reasonOf(db.orm.all(sql`SELECT 1`))).toBe(reason)
    expect(await reasonOf(db.write([{ sql: 'UPDATE guard SET held = 1', args: [] }]))).toBe(reason)
  })

  test('by not being there is told apart', async () => {
    const db = await openDatabase('http://127.0.0.1:1')
    undo.push(() => db.close())
    expect(await reasonOf(db.orm.all(sql`SELECT 1`))).toBe('database-away')
  })
})

test('a full disk under a database file is its quota, and nothing of the batch is there', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-full-'))
  undo.push(() => rm(directory, { recursive: true, force: true }))
  const db = await openDatabase(`file:${join(directory, 'c.db')}`)
  undo.push(() => db.close())
  await migrate(db)
  await db.script('PRAGMA max_page_count = 1')
  const big = { sql: 'INSERT INTO setting (key, value) VALUES (?, hex(randomblob(200000)))', args: ['big'] }
  expect(await reasonOf(db.write([{ sql: "INSERT INTO setting (key, value) VALUES ('small', '1')", args: [] }, big]))).toBe('database-quota')
  expect(await db.orm.all(sql`SELECT key FROM setting`)).toEqual([])
})

test('half a surrogate pair, which SQLite would make unreadable bytes of, is stored as U+FFFD; whole pairs and escaped backslashes stay', async () => {
  const db = await openDatabase(':memory:')
  await db.script('CREATE TABLE t (a TEXT) STRICT')
  const texts = ['x\ud83d', '\udc00y', 'a \u{1f4be} whole one', String.raw`a path \\ud83d\u`]
  await db.write([{ sql: 'INSERT INTO t SELECT value FROM json_each(?)', args: [JSON.stringify(texts)] }, { sql: 'INSERT INTO t VALUES (?)', args: [texts[0]!] }])
  await db.write([{ sql: 'INSERT INTO t SELECT value FROM json_each(?)', args: [String.raw`["\uD83D\uDCBE", "\uD83D"]`] }])
  expect((await db.orm.all<{ a: string }>(sql`SELECT a FROM t`)).map(({ a }) => a)).toEqual(['x\ufffd', '\ufffdy', texts[2], texts[3], 'x\ufffd', '\u{1f4be}', '\ufffd'])
  db.close()
})

test('a wrong statement is nobody\'s fault but ours', async () => {
  const db = await openDatabase(':memory:')
  undo.push(() => db.close())
  expect(await reasonOf(db.orm.all(sql`SELECT * FROM nowhere`))).toBeUndefined()
})

describe('the API over a database that refuses', () => {
  test.each([['database-quota', 200, blocked, '300'], ['database-away', 502, '', '2']])('answers 503 %s and says when to try again, and the bridge keeps its messages', async (reason, status, body, retryAfter) => {
    const controller = await startController()
    undo.push(() => controller.close())
    controller.deps.db = await answering(status, body)
    const answers = [await controller.call('listSites'), await controller.call('ingest', { as: 'ingest', body: { messages: [] } }), await controller.call('ready', { as: null })]
    for (const answer of answers) {
      expect([answer.status, answer.body.code, answer.body.reason, answer.body.retry]).toEqual([503, 'unavailable', reason, true])
      expect(answer.headers.get('retry-after')).toBe(retryAfter)
    }
    expect(answers[2]!.body.errors).toEqual([{ path: 'database', message: expect.stringContaining('the database') }])
    expect((await controller.call('health', { as: null })).status).toBe(200)
  })
})
