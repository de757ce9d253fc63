import { createJobs } from '../functions/jobs.ts'
import { receiveReports, type IncomingMessage } from '../functions/ingest/receive.ts'
import { limits } from '../protocol/limits.ts'
import { controllerProtocols } from '../protocol/protocol-versions.ts'
import { startController, type Controller } from '../test/support/controller.ts'
import type { PracticeSite } from '../test/support/practice-site.ts'
import { startMeter } from './cost/meter.ts'
import { enrolOnline } from './enrol-online.ts'
import type { Bench, Figure } from './figure.ts'
import { ordinaryBlock } from './ordinary-block.ts'

/**
 * A day of 1,000 sites with 5 nodes each, in virtual time, against the budget of a month.
 *
 * Workload: every site sends its metric block each quarter of an hour, spread over the minute after it; reports come in by batches of 200 ms, as the
 * bridge hands them on; every site loses its connection once and comes back, and one in seven raises and clears an alarm; all
 * scheduled work runs each minute. Over a libSQL server, which counts rows.
 * Budget: 4 million rows written and 3 million messages a month of 30 days.
 * Counted: messages, bytes, requests (a batch of reports, a minute's schedule), round trips to the database, rows.
 */
export const day: Bench = { name: 'day', about: 'a day of 1,000 sites with 5 nodes: messages, requests, bytes and rows, against the budget of a month', run }

export type DayCounts = { sites: number; nodes: number; hours: number; messages: number; bytes: number; requests: number; roundTrips: number; rowsRead: number; rowsWritten: number }

const budget = { rowsWritten: 4e6, messages: 3e6 }
const batchMs = 200
const minuteMs = 60_000

async function run({ quick, say }: { quick: boolean; say(line: string): void }): Promise<Figure[]> {
  const hours = quick ? 2 : 24
  const counts = await countDay(1000, 5, hours)
  const month = (value: number): number => (value * 24 * 30) / hours
  say(`${hours} hours: ${Object.entries(counts).filter(([name]) => !['sites', 'nodes', 'hours'].includes(name)).map(([name, value]) => `${name} ${Math.round(value).toLocaleString('en')}`).join(', ')}`)
  const figure = (name: string, value: number, most: number): Figure => {
    const once = (amount: number) => ({ median: amount, min: amount, max: amount })
    return { bench: day.name, name: `${name} a month, against the budget`, unit: 'million', ours: once(month(value) / 1e6), floor: once(most / 1e6), ratio: once(month(value) / most), aim: { atMost: 1 }, repetitions: 1 }
  }
  return [figure('rows written', counts.rowsWritten, budget.rowsWritten), figure('messages', counts.messages, budget.messages)]
}

/** Plays so many hours and counts. */
export async function countDay(siteCount: number, nodes: number, hours: number): Promise<DayCounts> {
  const meter = await startMeter()
  try {
    const controller = await startController({ databaseUrl: meter.databaseUrl })
    try {
      controller.clock.advance(limits.metricBlockMs - (controller.clock.nowMs() % limits.metricBlockMs))
      const sites = [...(await enrolOnline(controller, Array.from({ length: siteCount }, (_, i) => `site-${String(i).padStart(5, '0')}`), controllerProtocols)).values()]
      // whatever is written for a site's first block only does not count
      await play(controller, sites, { nodes, hours: 0.25, messages: 0, bytes: 0, requests: 0 })
      const counts = { sites: siteCount, nodes, hours, messages: 0, bytes: 0, requests: 0 }
      const rows = await meter.measure(() => play(controller, sites, counts))
      return { ...counts, roundTrips: rows.roundTrips, rowsRead: rows.read, rowsWritten: rows.written }
    } finally {
      controller.close()
    }
  } finally {
    await meter.close()
  }
}

type Said = { atMs: number; message: () => Promise<IncomingMessage> }

async function play(controller: Controller, sites: readonly PracticeSite[], counts: { nodes: number; hours: number; messages: number; bytes: number; requests: number }): Promise<void> {
  const endMs = controller.clock.nowMs() + counts.hours * 60 * minuteMs
  for (let minute = 0; controller.clock.nowMs() < endMs; minute++) {
    const fromMs = controller.clock.nowMs()
    const said = minuteOf(sites, counts, fromMs, minute)
    for (let i = 0; i < said.length; ) {
      const first = said[i]!
      const batch: IncomingMessage[] = []
      for (; i < said.length && said[i]!.atMs < first.atMs + batchMs && batch.length < limits.ingestBatchMax; i++) batch.push(await said[i]!.message())
      controller.clock.advance(first.atMs + batchMs - controller.clock.nowMs())
      const { refused } = await receiveReports(controller.context(), batch)
      if (refused.length > 0) throw new Error(`refused: ${refused[0]!.reason}`)
      await controller.settle()
      counts.messages += batch.length
      counts.bytes += batch.reduce((sum, { payload }) => sum + payload.length, 0)
      counts.requests++
    }
    controller.clock.advance(fromMs + minuteMs - controller.clock.nowMs())
    await runSchedule(controller)
    counts.requests++
  }
}

/** What is said in a minute, in its order: blocks in the first of each quarter, and a share of the day's reconnects and faults. */
function minuteOf(sites: readonly PracticeSite[], { nodes }: { nodes: number }, fromMs: number, minute: number): Said[] {
  const said: Said[] = []
  const spread = (i: number, of: number): number => fromMs + Math.floor((i * (minuteMs - batchMs)) / of)
  const isQuarter = fromMs % limits.metricBlockMs < minuteMs
  if (isQuarter) sites.forEach((site, i) => said.push({ atMs: spread(i, sites.length), message: () => site.message({ kind: 'metrics', block: ordinaryBlock(nodes, fromMs - (fromMs % limits.metricBlockMs) - limits.metricBlockMs, i), alarms: [] }) }))
  const minutes = 24 * 60
  /** Sites whose turn began so many minutes ago. */
  const due = (ago: number) => sites.filter((_, i) => Math.floor((i * minutes) / sites.length) === (minute - ago + minutes) % minutes)
  const turn: ((site: PracticeSite) => Promise<IncomingMessage>)[][] = [
    [(site) => site.message({ kind: 'gone', connectionId: site.connectionId })],
    [(site) => (site.connection++, site.message(site.helloBody())), (site) => site.message({ kind: 'standing', alarms: [], monitoring: null })],
    [(site) => site.message(alarmOf(true))],
    [(site) => site.message(alarmOf(false))],
  ]
  const hasFault = (site: PracticeSite): boolean => sites.indexOf(site) % 7 === 0
  turn.forEach((events, k) => {
    for (const site of due(2 * k).filter((each) => k < 2 || hasFault(each))) for (const event of events) said.push({ atMs: fromMs + 1000 * (k + 1), message: () => event(site) })
  })
  return said.sort((a, b) => a.atMs - b.atMs)
}

const alarmOf = (raised: boolean) => ({ kind: 'alarm' as const, alarmId: '100.003', entity: 'node=node-0.filesystem=/var', raised, severity: 'major' as const, text: '/var is 91 % full (level 85 %)' })

async function runSchedule(controller: Controller): Promise<void> {
  const nowMs = controller.clock.nowMs()
  for (const job of createJobs(controller.deps)) if (job.everyMs <= minuteMs || nowMs % job.everyMs < minuteMs) await job.run()
  await controller.settle()
}
