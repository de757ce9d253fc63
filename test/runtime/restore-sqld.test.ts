import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, expect } from 'vitest'
import { openSnapshot } from '../../db/open-snapshot.ts'
import { startController, type Controller } from '../support/controller.ts'
import { needs } from '../support/needs.ts'
import { addRelease, enrolSites, look, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import { sleep } from '../support/program.ts'
import { backUp, hearAgain, restoreInto, takeOver } from '../support/restored-controller.ts'
import { startSqld } from '../support/start-sqld.ts'

const { test } = needs('sqld')
type Server = Awaited<ReturnType<typeof startSqld>>

let directory: string
let servers: Server[]
let before: Controller
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'murmur-restore-sqld-'))
  servers = [await startSqld(join(directory, 'first')), await startSqld(join(directory, 'second'))]
  before = await startController({ databaseUrl: servers[0]!.url })
})
afterEach(async () => {
  before?.close()
  for (const { program } of servers) await program.end()
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
})

test('a database on a libSQL server is backed up while it is written, and restored to another server: no site goes back (I17, F58)', async () => {
  const fleet = await enrolSites(before, Array.from({ length: 6 }, (_, i) => ({ id: `s${i}` })))
  const [one, two] = [await addRelease(before, '1.0.0'), await addRelease(before, '1.1.0')]
  const oneWave = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 3 }
  await startRollout(before, { name: 'one', target: { release: one.id }, selector: { all: true }, policy: oneWave })
  await runFleet(before, fleet)
  const { id } = await startRollout(before, { name: 'two', target: { release: two.id }, selector: { all: true }, policy: oneWave })
  before.clock.advance(1000)
  const taking = backUp(before, servers[0]!.url)
  await before.db.write([{ sql: `INSERT INTO setting (key, value) VALUES ('written meanwhile', '1')`, args: [] }])
  const { name } = await taking
  await runFleet(before, fleet)
  expect([...fleet.values()].every(({ running }) => running?.digest === two.digest)).toBe(true)

  expect(await restoreInto(before, servers[1]!.url, name)).toMatchObject({ epoch: 2 })
  const after = await takeOver(before, servers[1]!.url)
  try {
    const again = new Map([...fleet].map(([key, site]) => [key, hearAgain(site, after)]))
    for (const site of again.values()) await site.connect()
    await tick(after)
    expect(await runFleet(after, again)).toEqual([])
    expect((await look(after, id)).counts).toEqual({ succeeded: 6 })
    const counted = await after.db.orm.all(sql`SELECT rollout_id, state, n FROM counter WHERE n <> 0 ORDER BY 1, 2`)
    expect(counted).toEqual(await after.db.orm.all(sql`SELECT rollout_id, state, count(*) AS n FROM deployment GROUP BY 1, 2 ORDER BY 1, 2`))
    const last = await addRelease(after, '1.2.0')
    await startRollout(after, { name: 'three', target: { release: last.id }, selector: { all: true }, policy: oneWave })
    await runFleet(after, again)
    expect([...again.values()].every(({ running }) => running?.digest === last.digest)).toBe(true)
  } finally {
    after.close()
  }
})

test('a store that takes longer than the server waits for its reader does not end the backup', async () => {
  const snapshot = await openSnapshot(servers[0]!.url)
  try {
    await snapshot.rows('SELECT 1')
    await snapshot.during(sleep(11_500))
    expect(await snapshot.rows('SELECT count(*) FROM site')).toEqual([[0]])
  } finally {
    snapshot.close()
  }
})
