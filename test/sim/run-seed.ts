import { calm, drawChaos, type Chaos } from './chaos.ts'
import { checkEnd, checkLoss } from './checks/check-end.ts'
import { Checkers } from './checks/checkers.ts'
import { SimFleet, type Planted } from './fleet.ts'
import { Operator } from './operator.ts'
import { seededRandom } from './random.ts'
import { drawScenario } from './scenario.ts'
import { calmDown, startStorm } from './storm.ts'
import { World, type Violation } from './world.ts'

/** `chaos`: faults to have more or less often than the seed says. */
export type SeedRequest = { seed: number; sites: number; print?: (line: string) => void; planted?: Planted; chaos?: Partial<Chaos> }
export type SeedResult = {
  seed: number
  sites: number
  traceHash: string
  violation: Violation | null
  /** The last lines of the log before a violation. */
  recent: readonly string[]
  simulatedMs: number
  realMs: number
  events: number
  faults: Record<string, number>
  outcomes: Record<string, number>
  deeds: Record<string, number>
  /** Raised, by alarm id, and how many rollouts paused over one. */
  alarms: Record<string, number>
}

const startMs = Date.UTC(2026, 5, 1)
const hourMs = 3_600_000
/** Hours after the storm at which somebody tidies up; at the last what still stands still is given up. */
const tidyHours = [0.5, 1, 1.5, 2.5]
const quietMs = 5 * hourMs

/** One fleet's story from one seed: a storm in which anything may go wrong, then quiet, in which everything must come right. */
export async function runSeed({ seed, sites, print, planted, chaos: wanted }: SeedRequest): Promise<SeedResult> {
  const realStartMs = performance.now()
  const random = seededRandom(`seed ${seed}`)
  const scenario = drawScenario(random.fork('scenario'), sites)
  const world = new World(startMs, print ?? null)
  const chaos = { ...calm }
  const fleet = await SimFleet.create({ world, random, chaos, sites: scenario.sites, planted })
  try {
    const checkers = new Checkers(fleet)
    const operator = new Operator(fleet, random.fork('operator'), checkers)
    fleet.controller.startJobs(scenario.jobPaceMs)
    await operator.publishAll(scenario.releases)
    while (!(await fleet.confirmReleases())) await world.run(world.nowMs + 1000)
    for (const site of fleet.sites.values()) site.boot()
    await world.run(world.nowMs + 60_000)

    Object.assign(chaos, drawChaos(random.fork('chaos')), wanted)
    const storm = startStorm(fleet, random.fork('storm'), scenario.faultEveryMs, checkers)
    const meddling = operator.start(scenario.deedEveryMs)
    for (const plan of scenario.rollouts) world.after(plan.atMs, 'rollout', () => void operator.startRollout(plan, scenario.releases[plan.release]!))
    world.after(random.fraction() * scenario.stormMs, 'empty selector', () => void operator.tryEmptySelector(scenario.releases[0]!.version))
    await world.run(world.nowMs + scenario.stormMs)

    storm.stop()
    meddling.stop()
    Object.assign(chaos, calm)
    world.note('the storm is over')
    world.at(world.nowMs, 'calm', () => calmDown(fleet))
    world.after(2 * 60_000, 'roll-call', () => void fleet.controller.reconnectBridge())
    tidyHours.forEach((hours, i) => world.after(hours * hourMs, 'tidy up', () => void operator.tidyUp(i === tidyHours.length - 1)))
    await world.run(world.nowMs + quietMs)
    for (const check of [checkEnd, checkLoss]) {
      if (world.violation === null) for (const { invariant, evidence } of await check(fleet, checkers)) world.violate(invariant, evidence)
    }
    return {
      seed, sites, traceHash: world.traceHash(), violation: world.violation, recent: world.recent, simulatedMs: world.nowMs - startMs, realMs: performance.now() - realStartMs, events: world.events,
      faults: Object.fromEntries(world.faults), outcomes: Object.fromEntries(checkers.outcomes), deeds: Object.fromEntries(operator.deeds), alarms: Object.fromEntries(checkers.alarms),
    }
  } finally {
    fleet.close()
  }
}
