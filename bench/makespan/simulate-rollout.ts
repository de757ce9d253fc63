import { receiveReports } from '../../functions/ingest/receive.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Grant } from '../../protocol/directives.ts'
import type { AttemptReport } from '../../protocol/reports.ts'
import { startController, type Controller } from '../../test/support/controller.ts'
import { addRelease, startRollout, tick } from '../../test/support/practice-fleet.ts'
import type { PracticeSite } from '../../test/support/practice-site.ts'
import { enrolOnline } from '../enrol-online.ts'
import { terms, type SiteTime } from './draw-times.ts'
import { EventQueue } from './event-queue.ts'

/** How often the schedule looks whether a rollout's time has come. */
const tickEveryMs = 5000

type Event = { kind: 'ends'; site: PracticeSite } | { kind: 'tick' }

/**
 * The controller's own code (rollout, directives, ingest, on an in-memory database) with simulated sites in virtual time: the
 * i-th site in the rollout's order takes `times[i]`. Returns milliseconds from the creation to the end of the last site, and
 * the most sites that were in flight at once.
 */
export async function simulateRollout(times: readonly SiteTime[], maxParallel: number): Promise<{ makespanMs: number; inFlightMax: number }> {
  const controller = await startController()
  try {
    const fleet = await enrolOnline(controller, times.map((_, i) => `site-${String(i).padStart(5, '0')}`))
    const release = await addRelease(controller, '1.0.0')
    const startedMs = controller.clock.nowMs()
    const { id } = await startRollout(controller, { name: 'makespan', target: { release: release.id }, selector: { all: true }, policy: { maxParallel, ...terms } })
    const timeOf = await timesByPlace(controller, id, times)
    return await play(controller, fleet, id, timeOf, startedMs)
  } finally {
    controller.close()
  }
}

async function timesByPlace(controller: Controller, rollout: string, times: readonly SiteTime[]): Promise<Map<string, SiteTime>> {
  const [result] = await controller.db.write([{ sql: 'SELECT site_id FROM deployment WHERE rollout_id = ? ORDER BY place', args: [rollout] }])
  return new Map(result!.rows.map((row, place) => [String(row.site_id), times[place]!]))
}

async function play(controller: Controller, fleet: ReadonlyMap<string, PracticeSite>, rollout: string, timeOf: ReadonlyMap<string, SiteTime>, startedMs: number) {
  const queue = new EventQueue<Event>()
  const { clock } = controller
  let inFlightMax = 0
  let nextTickMs = Number.POSITIVE_INFINITY

  /** Whoever was granted starts; then the next tick is put where the rollout wants it. Whether the rollout is over. */
  async function follow(): Promise<boolean> {
    for (const site of await startGranted(controller, fleet)) {
      const { hangs, spanMs } = timeOf.get(site.id)!
      if (!hangs) queue.put(clock.nowMs() + spanMs, { kind: 'ends', site })
    }
    const now = await stateOf(controller, rollout)
    if (now.pauses !== '[]') throw new Error(`the rollout was paused: ${now.pauses}`)
    inFlightMax = Math.max(inFlightMax, now.moving)
    const tickMs = Math.max(Math.ceil((now.wakeMs ?? Number.POSITIVE_INFINITY) / tickEveryMs) * tickEveryMs, clock.nowMs() + 1)
    if (tickMs < nextTickMs) queue.put((nextTickMs = tickMs), { kind: 'tick' })
    return now.state === 'completed'
  }

  for (let isOver = await follow(); !isOver; isOver = await follow()) {
    const next = queue.take()
    if (next === null) throw new Error('nothing will ever happen again, and the rollout is not over')
    if (next.atMs > clock.nowMs()) clock.advance(next.atMs - clock.nowMs())
    if (next.event.kind === 'ends') await end(controller, next.event.site)
    else {
      nextTickMs = Number.POSITIVE_INFINITY
      await tick(controller)
    }
  }
  return { makespanMs: clock.nowMs() - startedMs, inFlightMax }
}

/** Sites take what was granted to them since the last call, and say that they have started. */
async function startGranted(controller: Controller, fleet: ReadonlyMap<string, PracticeSite>): Promise<PracticeSite[]> {
  const grants = controller.broker.messages.splice(0).filter(({ topic }) => topic.endsWith('/grant')).map(({ payload }) => read(payload))
  const sites = grants.map((grant) => {
    const site = fleet.get(grant.site)!
    site.attempt = { deployment: grant.deployment, attempt: grant.attempt, phase: 'applying', outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: grant.requestId }
    return site
  })
  if (sites.length > 0) await receiveReports(controller.context(), await Promise.all(sites.map((site) => progress(site, site.attempt!))))
  return sites
}

async function stateOf(controller: Controller, rollout: string): Promise<{ state: string; pauses: string; wakeMs: number | null; moving: number }> {
  const moving = `(SELECT coalesce(sum(n), 0) FROM counter WHERE rollout_id = rollout.id AND state IN ('granted', 'running'))`
  const [result] = await controller.db.write([{ sql: `SELECT state, pauses, wake_ms, ${moving} AS moving FROM rollout WHERE id = ?`, args: [rollout] }])
  const row = result!.rows[0]!
  return { state: String(row.state), pauses: String(row.pauses), wakeMs: row.wake_ms === null ? null : Number(row.wake_ms), moving: Number(row.moving) }
}

function read(payload: Uint8Array): Grant {
  const envelope = JSON.parse(fromUtf8(payload)) as { payload: string }
  return JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as Grant
}

const progress = (site: PracticeSite, attempt: AttemptReport) => site.message({ kind: 'progress', attempt, running: site.running, previous: null, nodes: [] })

async function end(controller: Controller, site: PracticeSite): Promise<void> {
  await receiveReports(controller.context(), [await progress(site, { ...site.attempt!, phase: 'ended', outcome: 'succeeded' })])
}
