import { contracts, type ContractId } from '../protocol/http/contracts.ts'
import { sql } from 'drizzle-orm'
import { startController, type Controller } from '../test/support/controller.ts'
import { addSites } from '../test/support/practice-fleet.ts'
import { byTurns } from './by-turns.ts'
import { startMeter } from './cost/meter.ts'
import { spreadOf, type Bench, type Figure } from './figure.ts'

/**
 * What operators ask about alarms, at 10,000 sites with 200,000 alarms.
 *
 * Workload: each of the API's questions, through HTTP's whole way in one process (token, contract, handler, answer), over a database file.
 * Floor: as many rows as the answer has, read by primary key through the same client.
 * Counted: p99 in milliseconds; besides, on a libSQL server with the same rows, how many rows each question reads.
 */
export const alarmQueries: Bench = { name: 'alarm-queries', about: 'alarm lists and fleet summary at 10,000 sites and 200,000 alarms, against reading as many rows by key', run }

const rowsReadMax = 1000
const questions: readonly { name: string; id: ContractId; query: Record<string, string> }[] = [
  { name: 'newest alarms', id: 'listAlarms', query: {} },
  { name: 'critical alarms', id: 'listAlarms', query: { severity: 'critical' } },
  { name: 'alarms of one id', id: 'listAlarms', query: { alarmId: '100.003' } },
  { name: 'alarms of a site', id: 'listAlarms', query: { site: 'site-05000', all: 'true' } },
  { name: 'alarms by label', id: 'listAlarms', query: { labelSelector: 'region=r3' } },
  { name: 'gating alarms', id: 'listAlarms', query: { gating: 'true' } },
  { name: 'history of a site', id: 'listAlarmEvents', query: { site: 'site-05000' } },
  { name: 'fleet summary', id: 'getSummary', query: {} },
]

async function run({ quick, say }: { quick: boolean; say(line: string): void }): Promise<Figure[]> {
  const [sites, alarms] = quick ? [1000, 20_000] : [10_000, 200_000]
  await countRows(sites, alarms, say)
  const controller = await startController()
  try {
    await fill(controller, sites, alarms)
    const figures: Figure[] = []
    for (const { name, id, query } of questions) {
      const ask = () => controller.call(id, { as: 'viewer', query } as never)
      const answer = (await ask()).body as { items?: unknown[] }
      const rows = answer.items?.length ?? 20
      const bare = () => controller.db.orm.all(sql`SELECT * FROM alarm WHERE site_id = 'site-05000' LIMIT ${rows}`)
      const pairs = await byTurns(quick ? 5 : 15, () => p99Of(ask), () => p99Of(bare))
      figures.push({ bench: alarmQueries.name, name: `${name}, p99`, unit: 'ms', ours: spreadOf(pairs.map(({ ours }) => ours)), floor: spreadOf(pairs.map(({ floor }) => floor)), ratio: spreadOf(pairs.map(({ ours, floor }) => ours / floor)), aim: { oursAtMost: 15 }, repetitions: pairs.length })
    }
    return figures
  } finally {
    controller.close()
  }
}

/** The slowest but one of a hundred and one. */
async function p99Of(ask: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 101; i++) {
    const startedMs = performance.now()
    await ask()
    times.push(performance.now() - startedMs)
  }
  return times.sort((a, b) => a - b)[99]!
}

async function countRows(sites: number, alarms: number, say: (line: string) => void): Promise<void> {
  const meter = await startMeter()
  try {
    const controller = await startController({ databaseUrl: meter.databaseUrl })
    try {
      await fill(controller, sites, alarms)
      for (const { name, id, query } of questions) {
        const { read, roundTrips } = await meter.measure(() => controller.call(id, { as: 'viewer', query } as never))
        say(`${name} (${contracts[id].path}): ${read} rows read in ${roundTrips} round trips${read > rowsReadMax ? `, more than ${rowsReadMax}` : ''}`)
      }
    } finally {
      controller.close()
    }
  } finally {
    await meter.close()
  }
}

const batch = 5000

/** Standing alarms, spread over sites, ids, severities and three months; one in ten acknowledged, one in fifty shelved. */
async function fill(controller: Controller, sites: number, alarms: number): Promise<void> {
  const nameOf = (i: number): string => `site-${String(i).padStart(5, '0')}`
  for (let i = 0; i < sites; i += batch) await addSites(controller.db, Array.from({ length: Math.min(batch, sites - i) }, (_, k) => ({ id: nameOf(i + k), labels: { region: `r${(i + k) % 20}` } })))
  await controller.db.write([{ sql: `UPDATE site SET presence = 'online'`, args: [] }])
  const nowMs = controller.clock.nowMs()
  for (let i = 0; i < alarms; i += batch) {
    const rows = Array.from({ length: Math.min(batch, alarms - i) }, (_, k) => {
      const n = i + k
      const severity = ['critical', 'major', 'major', 'minor', 'minor', 'minor', 'warning', 'warning'][n % 8]
      const raisedMs = nowMs - ((n * 7919) % (90 * 86_400_000))
      return [nameOf(n % sites), ['100.001', '100.003', '120.001', '130.001'][n % 4], `node=node-0.filesystem=/data/${Math.floor(n / sites)}`, severity, n % 8 === 0 ? 1 : 0, raisedMs, n % 10 === 3 ? raisedMs + 1 : null, n % 50 === 7 ? nowMs + 86_400_000 : null]
    })
    await controller.db.write([
      {
        sql: `INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq, source, incarnation, changed_ms, acknowledged_ms, acknowledged_by, acknowledged_note, shelved_until_ms, shelved_by, shelved_reason)
              SELECT value->>0, value->>1, value->>2, value->>3, '91 % full (level 85 %)', value->>4, value->>5, NULL, 1, 'site', 1, value->>5, value->>6, iif(value->>6 IS NULL, NULL, 'token:op'), iif(value->>6 IS NULL, NULL, ''),
                value->>7, iif(value->>7 IS NULL, NULL, 'token:op'), iif(value->>7 IS NULL, NULL, 'known') FROM json_each(?)`,
        args: [JSON.stringify(rows)],
      },
    ])
  }
}
