import type { Random } from './random.ts'
import type { ReleasePlan } from './releases.ts'
import type { SitePlan } from './site.ts'

/** What a seed stands for: a fleet, what is to be rolled out to it, and how stormy it gets. */
export type Scenario = {
  sites: SitePlan[]
  releases: ReleasePlan[]
  rollouts: { atMs: number; release: number; selector: object; policy: object; replaces: 'all' | [] }[]
  /** How long faults go on. */
  stormMs: number
  /** Faults of sites, and deeds of operators, on average so far apart. */
  faultEveryMs: number
  deedEveryMs: number
  jobPaceMs: number
}

const minuteMs = 60_000
const hourMs = 3_600_000
const regions = ['north', 'south', 'east'] as const

function drawSite(random: Random, i: number): SitePlan {
  const extra = random.pick([0, 1, 1, 2])
  const nodes: SitePlan['nodes'] = Array.from({ length: extra }, (_, n) => ({ name: `worker-${n}`, personality: 'worker', root: `/nodes/worker-${n}`, hasAgent: false }))
  nodes.push({ name: 'controller-0', personality: 'controller', root: '/nodes/controller-0', hasAgent: true })
  return { id: `site-${i}`, labels: { region: random.pick(regions), tier: random.pick(['gold', 'plain']) }, nodes, nodesAtOnceMax: random.pick([1, 1, 2]), tellsSynchronised: random.chance(0.5) }
}

function drawRelease(random: Random, i: number): ReleasePlan {
  const lot = i === 0 ? 0 : random.fraction()
  const badness: ReleasePlan['badness'] = lot < 0.5 ? { kind: 'good' } : lot < 0.62 ? { kind: 'bad' } : lot < 0.78 ? { kind: 'sour', afterMs: random.pick([1, 5, 20]) * minuteMs } : { kind: 'bad-in', region: random.pick(regions) }
  const path = random.fraction()
  return {
    version: `1.${i}.0`, badness, sizeBytes: random.pick([10, 500, 5000]),
    ...(i > 0 && path < 0.15 ? { requires: `>=1.${i - 1}.0` } : {}),
    ...(i > 1 && path > 0.9 ? { replaces: [`>=1.${i - 2}.0 <1.${i}.0`] } : {}),
  }
}

function drawWaves(random: Random): object[] {
  const rest = { name: 'rest', size: 'rest', successThreshold: random.pick([0, 0.5, 0.9, 1]) }
  switch (random.between(0, 3)) {
    case 0: return [rest]
    case 1: return [{ name: 'canary', size: 1, barrier: true, successThreshold: 1, soak: random.pick([0, '5m', '20m']) }, rest]
    case 2: return [{ name: 'canary', size: 1, successThreshold: 1, approval: true }, { name: 'half', size: '50%', successThreshold: 0.5 }, rest]
    default: return [{ name: 'gold', size: '100%', selector: { matchLabels: { tier: 'gold' } }, barrier: random.chance(0.5), successThreshold: random.pick([0.5, 1]) }, rest]
  }
}

function drawPolicy(random: Random): object {
  return {
    waves: drawWaves(random),
    maxParallel: random.pick([1, 1, 2, '50%', '100%']),
    groupBy: random.chance(0.3) ? { label: 'region', maxParallel: 1 } : null,
    failureThreshold: random.pick([{ value: '50%', minExecuted: 2 }, { value: 2 }, { value: '100%', minExecuted: 20 }]),
    startWithin: random.pick(['1m', '5m', '15m']),
    maxDuration: random.pick(['3m', '10m', '60m']),
    retries: random.pick([0, 0, 1, 3]), retryDelay: '2m',
    parkedFor: random.pick(['2h', '30d']),
    staging: random.pick(['ahead', 'with-start']),
    joiners: random.pick(['include', 'exclude']),
    alarmGate: random.chance(0.8),
    priority: random.pick([0, 0, 10]),
    windows: random.chance(0.2) ? [{ cron: '0 * * * *', duration: '30m' }] : [],
  }
}

/** Draws everything that is decided beforehand; faults and deeds are drawn as they come. */
export function drawScenario(random: Random, sites: number): Scenario {
  const releases = Array.from({ length: random.between(2, 5) }, (_, i) => drawRelease(random, i))
  const stormMs = random.pick([2, 3, 6]) * hourMs
  const rollouts = releases.map((_, i) => ({
    atMs: i === 0 ? minuteMs : Math.floor(random.fraction() * stormMs),
    release: i,
    selector: i === 0 || random.chance(0.7) ? { all: true } : { matchLabels: { region: random.pick(regions) } },
    policy: i === 0 ? { ...drawPolicy(random), waves: [{ name: 'all', size: 'rest' }], failureThreshold: { value: '100%', minExecuted: 100 } } : drawPolicy(random),
    replaces: random.chance(0.3) ? ('all' as const) : ([] as []),
  }))
  return {
    sites: Array.from({ length: sites }, (_, i) => drawSite(random, i)), releases, rollouts, stormMs,
    faultEveryMs: random.pick([3, 10, 40]) * minuteMs, deedEveryMs: random.pick([10, 30, 120]) * minuteMs, jobPaceMs: random.pick([20_000, 60_000]),
  }
}
