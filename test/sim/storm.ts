import type { Checkers } from './checks/checkers.ts'
import type { SimFleet } from './fleet.ts'
import type { Random } from './random.ts'
import type { Senses } from './senses.ts'
import type { SimSite } from './site.ts'

const minuteMs = 60_000
const hourMs = 3_600_000

type Strike = (fleet: SimFleet, site: SimSite, random: Random, checkers: Checkers) => void

/** What may befall a site or the broker, with how often it does against the others. */
const strikes: Record<string, { weight: number; strike: Strike }> = {
  /** F24: the power goes at some call from now on, in the middle of whatever the agent does then. */
  'power-cut': { weight: 8, strike: (_, site, random) => site.cutPowerAfter(random.pick([random.between(0, 10), random.between(0, 100), random.between(0, 400)])) },
  'power-off': { weight: 2, strike: (_, site) => site.power?.off() },
  'line-cut': { weight: 4, strike: (fleet, site) => void fleet.broker.cut((client) => client.name === site.name) },
  'partition': { weight: 3, strike: (fleet, site, random) => partition(fleet, site, random.fraction() * random.pick([5 * minuteMs, hourMs, 5 * hourMs])) },
  /** F30 */
  'clock': { weight: 3, strike: (fleet, site, random) => setClock(fleet, site, random) },
  /** F23 */
  'disk-full': { weight: 2, strike: (fleet, site, random) => fillDisk(fleet, site, random) },
  /** Raises an alarm that gates, or one that does not, and clears it again. */
  'disk-fills': { weight: 2, strike: (fleet, site, random) => sicken(fleet, site, random.fraction() * random.pick([10 * minuteMs, 2 * hourMs]), (senses) => (senses.diskPercent = random.pick([90, 97]))) },
  'unit-fails': { weight: 1, strike: (fleet, site, random) => sicken(fleet, site, random.fraction() * hourMs, (senses) => (senses.failedUnit = 'shop.service')) },
  /** F46 */
  'unit-flaps': { weight: 0.5, strike: (fleet, site, random) => flap(fleet, site, random.between(3, 12)) },
  'line-flaps': { weight: 0.5, strike: (fleet, site, random) => flapLine(fleet, site, random.between(3, 12)) },
  /** Nobody tells that it is gone. */
  'will-lost': { weight: 1.5, strike: (fleet, site, random) => vanish(fleet, site, random.fraction() * 3 * hourMs) },
  'broker-restart': { weight: 1, strike: (fleet, _, random) => restartBroker(fleet, random.fraction() * 5 * minuteMs) },
  'bridge-restart': { weight: 1, strike: (fleet) => void fleet.controller.reconnectBridge() },
  'trust-raised': { weight: 1, strike: (fleet) => void fleet.raiseTrust() },
  /** F48 */
  'schedule-stops': { weight: 1, strike: (fleet, _, random) => fleet.controller.stopSchedule(random.fraction() * hourMs) },
  /** F58 */
  'database-restored': { weight: 0.5, strike: (fleet, _, random, checkers) => void loseDatabase(fleet, random, checkers) },
  /** F31 */
  'machine-replaced': { weight: 0.5, strike: (fleet, site) => void fleet.enrolAnew(site.plan.id, false) },
  'machine-copied': { weight: 0.5, strike: (fleet, site, random, checkers) => void copyMachine(fleet, site, random, checkers) },
}

/** What happens between the backup and the restore is known to the sites alone. */
async function loseDatabase(fleet: SimFleet, random: Random, checkers: Checkers): Promise<void> {
  const { controller, world } = fleet
  const name = await controller.backUp()
  world.note(`backup ${name}`)
  const restores = controller.restores
  world.after(random.fraction() * hourMs, 'database lost', async () => {
    // another restore has made this one's backup one of a past that is gone
    if (controller.restores !== restores) return
    world.note(`restores ${name}`)
    await controller.restore(name)
    world.after(random.fraction() * 10 * minuteMs, 'resume', () => resumeAll(fleet, checkers))
    for (const tries of [1, 2, 3]) world.after(tries * 20 * minuteMs, 'enrol strangers', () => enrolStrangers(fleet, checkers))
  })
}

/** Somebody has read the differences. */
async function resumeAll(fleet: SimFleet, checkers: Checkers): Promise<void> {
  await fleet.installTrustAgain()
  for (const rollout of [...checkers.rows.rollouts.values()]) {
    if (rollout.pauses > 0) await fleet.controller.call('POST', `/v1/rollouts/${rollout.id}/resume`, { reason: 'the differences are read' })
  }
}

/** Who was enrolled in the lost hour is a stranger: somebody reads the differences, and enrols it again. */
async function enrolStrangers(fleet: SimFleet, checkers: Checkers): Promise<void> {
  for (const site of [...fleet.sites.values()]) {
    const own = await site.readIncarnation()
    if (own !== null && own > checkers.rows.sites.get(site.plan.id)!.incarnation) await enrolOriginal(fleet, site.plan.id, checkers)
  }
}

/** F31, F41: a disk image wakes up elsewhere. Both speak for the site until somebody enrols it anew, which fences the copy. */
async function copyMachine(fleet: SimFleet, site: SimSite, random: Random, checkers: Checkers): Promise<void> {
  const { id } = site.plan
  if (!site.running || fleet.copies.some((copy) => copy.plan.id === id)) return
  const copy = await fleet.clone(id)
  checkers.inherit(copy, site)
  checkers.doubt(id)
  copy.boot()
  fleet.world.after(random.fraction() * hourMs, 'enrol anew', () => enrolOriginal(fleet, id, checkers))
}

async function enrolOriginal(fleet: SimFleet, id: string, checkers: Checkers): Promise<void> {
  const original = fleet.sites.get(id)!
  const heir = await fleet.enrolAnew(id, true)
  if (heir !== null) return checkers.inherit(heir, original)
  fleet.world.after(60_000, 'enrol anew', () => enrolOriginal(fleet, id, checkers))
}

function partition(fleet: SimFleet, site: SimSite, spanMs: number): void {
  if (site.partitioned) return
  site.partitioned = true
  fleet.broker.cut((client) => client.name === site.name)
  fleet.world.after(spanMs, 'partition ends', () => {
    site.partitioned = false
  })
}

/** Its will does not come, as from a broker that was lost with it. */
function vanish(fleet: SimFleet, site: SimSite, spanMs: number): void {
  if (site.partitioned) return
  site.partitioned = true
  fleet.broker.cut((client) => client.name === site.name, false)
  fleet.world.after(spanMs, 'back from nowhere', () => {
    site.partitioned = false
  })
}

function sicken(fleet: SimFleet, site: SimSite, spanMs: number, harm: (senses: Senses) => unknown): void {
  harm(site.senses)
  fleet.world.after(spanMs, 'well again', () => site.senses.mend())
}

function flap(fleet: SimFleet, site: SimSite, times: number): void {
  for (let i = 0; i < times; i++) fleet.world.after(i * 2 * minuteMs, 'unit flaps', () => sicken(fleet, site, minuteMs, (senses) => (senses.failedUnit = 'flapping.service')))
}

function flapLine(fleet: SimFleet, site: SimSite, times: number): void {
  for (let i = 0; i < times; i++) fleet.world.after(i * minuteMs, 'line flaps', () => fleet.broker.cut((client) => client.name === site.name))
}

function setClock(fleet: SimFleet, site: SimSite, random: Random): void {
  const kinds: (() => void)[] = [
    () => site.setClock(-fleet.world.nowMs, 0),
    () => site.setClock(random.between(-2, 2) * hourMs, 0),
    () => site.setClock(-random.between(1, 600_000), 0),
    () => site.setClock(20 * 365 * 24 * hourMs, 0),
    () => site.setClock(0, random.pick([-0.05, 0.05])),
    () => site.setClock(0, 0),
  ]
  random.pick(kinds)()
}

function fillDisk(fleet: SimFleet, site: SimSite, random: Random): void {
  const whole = site.files.capacityBytes
  void site.look(async (files) => {
    const free = await files.freeBytes('/')
    files.capacityBytes = Math.max(0, whole - free + random.pick([0, random.between(0, 2000), random.between(0, 20_000), 17 * 1024 * 1024]))
  })
  fleet.world.after(random.fraction() * random.pick([2 * minuteMs, 30 * minuteMs]), 'room again', () => {
    site.files.capacityBytes = 1024 ** 3
  })
}

function restartBroker(fleet: SimFleet, downMs: number): void {
  if (!fleet.broker.up) return
  fleet.broker.restart(downMs)
  fleet.world.after(downMs + 1000, 'bridge is back', () => void fleet.controller.reconnectBridge())
}

/** Strikes here and there until told to stop. */
export function startStorm(fleet: SimFleet, random: Random, everyMs: number, checkers: Checkers): { stop(): void } {
  let blowing = true
  const kinds = Object.entries(strikes).map(([kind, { weight }]) => ({ kind, weight: random.chance(0.3) ? 0 : weight }))
  const sum = kinds.reduce((total, { weight }) => total + weight, 0)
  const draw = (): string => {
    let lot = random.fraction() * sum
    for (const { kind, weight } of kinds) if ((lot -= weight) < 0) return kind
    return 'line-cut'
  }
  const strike = (): void => {
    if (!blowing) return
    fleet.world.after(-Math.log(1 - random.fraction()) * everyMs, 'strike', strike)
    const kind = draw()
    const site = random.pick([...fleet.sites.values()])
    fleet.world.fault(kind, site.name)
    strikes[kind]!.strike(fleet, site, random, checkers)
  }
  fleet.world.after(random.fraction() * everyMs, 'strike', strike)
  return { stop: () => (blowing = false) }
}

/** Ends what lasts: lines, clocks, disks, and power. */
export async function calmDown(fleet: SimFleet): Promise<void> {
  for (const site of fleet.sites.values()) {
    site.partitioned = false
    site.setClock(0, 0)
    site.senses.mend()
    site.files.capacityBytes = 1024 ** 3
    if (site.power !== null) site.power.cutAt = Number.POSITIVE_INFINITY
  }
}
