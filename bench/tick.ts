import { sql } from 'drizzle-orm'
import { createJobs } from '../functions/jobs.ts'
import { startController, type Controller } from '../test/support/controller.ts'
import { addRelease, startRollout } from '../test/support/practice-fleet.ts'
import { byTurns, millisecondsOf } from './by-turns.ts'
import { startMeter, type Meter } from './cost/meter.ts'
import { enrolOnline } from './enrol-online.ts'
import { figureOf, type Bench, type Figure } from './figure.ts'

const cronMs = 60_000

/** A scheduled tick with nothing to do, over a libSQL server, against as many round trips that ask it nothing. */
export const tick: Bench = {
  name: 'tick',
  about: 'a scheduled tick with nothing to do, against as many bare round trips to the same libSQL server',
  async run({ quick, say }) {
    const figures: Figure[] = []
    for (const sites of quick ? [1000] : [1000, 10_000]) {
      const meter = await startMeter()
      try {
        figures.push(await measure(meter, sites, quick ? 5 : 15, say))
      } finally {
        await meter.close()
      }
    }
    return figures
  },
}

async function measure(meter: Meter, sites: number, repetitions: number, say: (line: string) => void): Promise<Figure> {
  const controller = await startController({ databaseUrl: meter.databaseUrl })
  try {
    await fillFleet(controller, sites)
    const jobs = createJobs(controller.deps).filter((job) => job.everyMs <= cronMs)
    const runJobs = async (): Promise<void> => {
      for (const job of jobs) await job.run()
    }
    // what comes round once in a quarter of an hour, such as the walk that looks for silent sites, goes on over several ticks
    let rows = await meter.measure(runJobs)
    for (let ticks = 1; rows.written > 0 && ticks < 100; ticks++) rows = await meter.measure(runJobs)
    say(`${sites} sites: ${rows.roundTrips} round trips, ${rows.read} rows read, ${rows.written} written`)
    if (rows.written > 0) throw new Error('a tick with nothing to do wrote something')
    const askNothing = async (): Promise<void> => {
      for (let trip = 0; trip < rows.roundTrips; trip++) await controller.db.orm.get(sql`SELECT 1`)
    }
    const pairs = await byTurns(repetitions, () => millisecondsOf(runJobs), () => millisecondsOf(askNothing))
    return figureOf({ bench: 'tick', name: `${sites} sites, ${rows.read} rows read`, unit: 'ms', aim: null }, pairs)
  } finally {
    controller.close()
  }
}

/** A fleet at rest: everybody online, one rollout behind it that everybody took part in, with its directives and its audit trail. */
async function fillFleet(controller: Controller, sites: number): Promise<void> {
  await enrolOnline(controller, Array.from({ length: sites }, (_, i) => `site-${String(i).padStart(5, '0')}`))
  const release = await addRelease(controller, '1.0.0')
  const { id } = await startRollout(controller, { name: 'behind us', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: '100%' } })
  await controller.settle()
  await controller.db.write([
    { sql: `UPDATE deployment SET state = 'succeeded', deadline_ms = NULL WHERE rollout_id = ?`, args: [id] },
    { sql: `UPDATE rollout SET state = 'completed', wake_ms = NULL WHERE id = ?`, args: [id] },
    { sql: `UPDATE directive SET pending = 0, sent_ms = due_ms`, args: [] },
  ])
  for (let more = true; more; ) {
    const [unsealed] = await controller.db.orm.all<{ n: number }>(sql`SELECT count(*) AS n FROM audit WHERE seal IS NULL`)
    more = unsealed!.n > 0
    if (more) for (const job of createJobs(controller.deps)) if (job.name === 'seal-audit') await job.run()
  }
}
