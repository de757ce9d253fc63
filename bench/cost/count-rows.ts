import { sealAudit } from '../../functions/audit/seal.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { createJobs } from '../../functions/jobs.ts'
import { limits } from '../../protocol/limits.ts'
import { controllerProtocols } from '../../protocol/protocol-versions.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import { startController, type Controller } from '../../test/support/controller.ts'
import { addRelease, look, startRollout, tick } from '../../test/support/practice-fleet.ts'
import type { PracticeSite } from '../../test/support/practice-site.ts'
import { enrolOnline } from '../enrol-online.ts'
import { ordinaryBlock } from '../ordinary-block.ts'
import type { Meter, Rows } from './meter.ts'

/**
 * Rows at a fleet of `sites`: one minute with nothing to do (the mean of a quarter of an hour), creating a rollout, one deployment of it (the mean of those that were played), and one
 * goodbye with the hello after it, and what stands, of a site that has had one, one metric block that comes alone, with the length of its message. What is written into the audit trail is sealed, too.
 */
export type RowCounts = { sites: number; idleMinute: Rows; reconnect: Rows; metricBlock: Rows & { bytes: number }; createRollout: Rows; deployment: Rows; played: number }

const playedMax = 200
const quarterMinutes = 15
const blocksMax = 100

/** A whole controller over a libSQL server, and sites that say what a real agent was seen to say: `phases` of its progress. */
export async function countRows(meter: Meter, sites: number, nodes: number, phases: readonly string[]): Promise<RowCounts> {
  const controller = await startController({ databaseUrl: meter.databaseUrl })
  try {
    const fleet = await enrolOnline(controller, Array.from({ length: sites }, (_, i) => `site-${String(i).padStart(5, '0')}`), controllerProtocols)
    // what a new fleet makes the schedule do once takes two quarters at 10,000 sites
    for (let quarter = 0; quarter < 2; quarter++) await runQuarter(controller)
    const idleMinute = meanOf(await meter.measure(() => runQuarter(controller)), quarterMinutes)
    const metricBlock = await countBlocks(meter, controller, [...fleet.values()].slice(0, blocksMax), nodes)
    const release = await addRelease(controller, '1.0.0')
    let id = ''
    const createRollout = await meter.measure(async () => {
      id = (await startRollout(controller, { name: 'counted', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: '10%' } })).id
      await tick(controller)
      await sealAll(controller)
    })
    let played = 0
    let someone: PracticeSite | null = null
    const all = await meter.measure(async () => {
      for (const site of fleet.values()) {
        if (played >= playedMax) break
        if (await play(site, phases)) {
          played++
          someone = site
        }
        await controller.settle()
      }
      await sealAll(controller)
    })
    const { counts } = await look(controller, id)
    if (played === 0 || counts.succeeded !== played) throw new Error(`${played} deployments were played, ${counts.succeeded ?? 0} succeeded`)
    const reconnect = await meter.measure(async () => {
      await someone!.disconnect()
      await someone!.connect()
      await someone!.say({ kind: 'standing', alarms: [], monitoring: null })
      await controller.settle()
      await sealAll(controller)
    })
    return { sites, idleMinute, reconnect, metricBlock, createRollout, deployment: meanOf(all, played), played }
  } finally {
    controller.close()
  }
}

/** All scheduled work of one minute, as a cron trigger runs it. */
async function runJobs(controller: Controller): Promise<void> {
  for (const job of createJobs(controller.deps)) if (job.everyMs <= 60_000) await job.run()
}

/** A quarter of an hour of it: some of the scheduled work comes round once in so long. */
async function runQuarter(controller: Controller): Promise<void> {
  for (let minute = 0; minute < quarterMinutes; minute++) {
    await runJobs(controller)
    await controller.settle()
    controller.clock.advance(60_000)
  }
}

const meanOf = ({ roundTrips, read, written }: Rows, of: number): Rows => ({ roundTrips: roundTrips / of, read: read / of, written: written / of })

/** Until the chain goes no further. */
async function sealAll(controller: Controller): Promise<void> {
  for (let seq = -1; ; ) {
    const head = await sealAudit(controller.context())
    if (head.seq === seq) return
    seq = head.seq
  }
}

/** The second block of each of these sites, so that whatever is written for the first only is not counted. */
async function countBlocks(meter: Meter, controller: Controller, fleet: readonly PracticeSite[], nodes: number): Promise<RowCounts['metricBlock']> {
  const startMs = controller.clock.nowMs() - (controller.clock.nowMs() % limits.metricBlockMs) - 2 * limits.metricBlockMs
  let bytes = 0
  const sayAll = async (fromMs: number): Promise<void> => {
    for (const [i, site] of fleet.entries()) {
      const message = await site.message({ kind: 'metrics', block: ordinaryBlock(nodes, fromMs, i), alarms: [] })
      bytes = message.payload.length
      await receiveReports(controller.context(), [message])
      await controller.settle()
    }
  }
  await sayAll(startMs)
  return { ...meanOf(await meter.measure(() => sayAll(startMs + limits.metricBlockMs)), fleet.length), bytes }
}

async function play(site: PracticeSite, phases: readonly string[]): Promise<boolean> {
  if ((await site.takeGrant()) === null) return false
  for (const phase of phases.filter((each) => each !== 'ended')) {
    site.attempt = { ...site.attempt!, phase: phase as never }
    await site.say({ kind: 'progress', attempt: site.attempt, running: site.running, previous: site.previous, nodes: [] } satisfies ReportBody)
  }
  await site.end('succeeded')
  return true
}
