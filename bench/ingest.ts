import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { IncomingMessage } from '../functions/ingest/receive.ts'
import { receiveReports } from '../functions/ingest/receive.ts'
import type { NodeName } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { NodeReport } from '../protocol/reports.ts'
import { startController, type Controller } from '../test/support/controller.ts'
import { addRelease, startRollout } from '../test/support/practice-fleet.ts'
import type { PracticeSite } from '../test/support/practice-site.ts'
import { byTurns, millisecondsOf } from './by-turns.ts'
import { enrolOnline } from './enrol-online.ts'
import { figureOf, type Bench, type Figure } from './figure.ts'

/**
 * Ingest of reports.
 *
 * Workload: 1,000 sites whose deployments run; each sends progress reports, sealed with its own key, their sequence
 * growing. `receiveReports` takes them in batches: HMAC, schema, fold, and one write that leaves each report in one row (its
 * deployment) or, when its sequence is not newer, in none. Database: a libSQL file, WAL, synchronous NORMAL.
 * Making and sealing the reports is not timed.
 * Floor: the same number of batches through the same client, each one statement that upserts from `json_each`, guarded by the
 * sequence too; a row holds a key, the sequence and the report's own JSON.
 * Counted: reports per second. One process, one thread.
 */
export const ingest: Bench = { name: 'ingest', about: 'reports per second into the database, against bare SQLite upserts', run }

const sitesCount = 1000
const cases = [
  { batch: 1, nodes: 1, batches: 500 },
  { batch: 10, nodes: 1, batches: 200 },
  { batch: 100, nodes: 1, batches: 50 },
  { batch: 500, nodes: 1, batches: 24 },
  { batch: 500, nodes: 5, batches: 24 },
]

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

type Floored = { message: IncomingMessage; row: readonly [string, number, string] }

async function run({ quick, say }: { quick: boolean; say(line: string): void }): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-bench-'))
  const controller = await startController({ databaseUrl: pathToFileURL(join(directory, 'controller.db')).href })
  try {
    const sites = await runningSites(controller)
    await controller.db.write([{ sql: 'CREATE TABLE floor (site TEXT PRIMARY KEY, seq INTEGER NOT NULL, report TEXT NOT NULL) STRICT', args: [] }])
    const figures: Figure[] = []
    for (const { batch, nodes, batches } of cases) {
      const count = quick ? Math.ceil(batches / 4) : batches
      const perSecond = (spentMs: number) => (1000 * batch * count) / spentMs
      const pairs = await byTurns(
        quick ? 5 : 9,
        async () => perSecond(await receiveAll(controller, await makeBatches(sites, batch, count, nodes))),
        async () => perSecond(await upsertAll(controller, await makeBatches(sites, batch, count, nodes))),
      )
      const figure = figureOf({ bench: ingest.name, name: `batch ${batch}, ${counted(nodes, 'node')}`, unit: 'reports/s', aim: batch === limits.ingestBatchMax ? { atLeast: 0.4 } : null }, pairs)
      figures.push(figure)
      say(`${figure.name}: ${Math.round(figure.ours.median)} reports/s, floor ${Math.round(figure.floor.median)}`)
    }
    return figures
  } finally {
    controller.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Sites that were all granted by one rollout and have all said that they started. */
async function runningSites(controller: Controller): Promise<PracticeSite[]> {
  const names = Array.from({ length: sitesCount }, (_, i) => `site-${String(i).padStart(4, '0')}`)
  const sites = [...(await enrolOnline(controller, names)).values()]
  const release = await addRelease(controller, '1.0.0')
  const { id } = await startRollout(controller, { name: 'bench', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: sitesCount } })
  for (const site of sites) {
    site.attempt = { deployment: `${id}:${site.id}` as never, attempt: 1, phase: 'applying', outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 250_000_000, requestId: 'bench-request' }
  }
  await receiveAll(controller, await makeBatches(sites, limits.ingestBatchMax, 2, 1))
  const [row] = (await controller.db.write([{ sql: `SELECT count(*) AS n FROM deployment WHERE state = 'running'`, args: [] }]))[0]!.rows
  if (row?.n !== sitesCount) throw new Error(`${row?.n} of ${sitesCount} deployments run`)
  return sites
}

let turn = 0

/** Reports of the sites in turn, each newer than the one before, with what the floor stores of it. */
async function makeBatches(sites: readonly PracticeSite[], size: number, count: number, nodes: number): Promise<Floored[][]> {
  const batches: Floored[][] = []
  for (let i = 0; i < count; i++) {
    const batch: Floored[] = []
    for (let k = 0; k < size; k++) {
      const site = sites[turn++ % sites.length]!
      const attempt = { ...site.attempt!, bytesDone: site.seq * 1000, nodesTotal: nodes }
      const message = await site.message({ kind: 'progress', attempt, running: null, previous: null, nodes: nodesOf(nodes) })
      const { payload } = JSON.parse(Buffer.from(message.payload).toString()) as { payload: string }
      batch.push({ message, row: [site.id, site.seq, Buffer.from(payload, 'base64').toString()] })
    }
    batches.push(batch)
  }
  return batches
}

const nodesOf = (count: number): NodeReport[] =>
  Array.from({ length: count }, (_, i) => ({ name: `node-${i}` as NodeName, personality: i === 0 ? 'controller' : 'worker', operational: 'enabled', release: null, mixed: false }))

async function receiveAll(controller: Controller, batches: readonly Floored[][]): Promise<number> {
  const messages = batches.map((batch) => batch.map(({ message }) => message))
  return millisecondsOf(async () => {
    for (const batch of messages) {
      const { accepted } = await receiveReports(controller.context(), batch)
      if (accepted !== batch.length) throw new Error(`${accepted} of ${batch.length} reports were accepted`)
    }
  })
}

async function upsertAll(controller: Controller, batches: readonly Floored[][]): Promise<number> {
  const upsert = `INSERT INTO floor (site, seq, report) SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true
    ON CONFLICT (site) DO UPDATE SET seq = excluded.seq, report = excluded.report WHERE excluded.seq > floor.seq`
  const rows = batches.map((batch) => batch.map(({ row }) => row))
  return millisecondsOf(async () => {
    for (const batch of rows) await controller.db.write([{ sql: upsert, args: [JSON.stringify(batch)] }])
  })
}
