import { eq, sql } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { limits } from '../../protocol/limits.ts'
import { inFlightStates, waitingStates } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import type { Family, Sample } from './exposition.ts'
import { readBlockMoments } from './moments.ts'

const rolloutsMax = 50
const waitingMax = 1000
/** A site waits up to a minute with its block, and it takes its way. */
const blockDelayMs = 2 * 60_000
/** Of a twentieth each: `used` is in permille. */
const buckets = [500, 600, 700, 800, 850, 900, 950, 1000]

/**
 * What a whole fleet says of itself, without a label for each site. Reads counters, the rollouts that go on (at most 50), up to 1,000 deliveries that wait
 * for each webhook, and of each site its row, one summary and one row of the index of capacities; of a fleet of more than half of
 * `usageRowsMax` sites the last two are left out.
 */
export async function exposeFleet(ctx: Ctx): Promise<Family[]> {
  const tallies = await ctx.db.orm.all<{ kind: string; key: string; n: number }>(sql`SELECT kind, key, n FROM tally WHERE kind IN ('site', 'alarm')`)
  const of = (kind: string) => tallies.filter((tally) => tally.kind === kind)
  const sites = of('site').reduce((sum, { n }) => sum + n, 0)
  return [
    { name: 'murmur_build_info', type: 'gauge', help: 'The version of the controller.', samples: [{ labels: { version: ctx.config.version, fleet: ctx.config.fleet }, value: 1 }] },
    { name: 'murmur_sites', type: 'gauge', help: 'Sites by presence, or by state where they are not enrolled.', samples: of('site').map(({ key, n }) => ({ labels: { state: key }, value: n })) },
    { name: 'murmur_alarms', type: 'gauge', help: 'Standing alarms by severity and condition.', samples: of('alarm').map(({ key, n }) => ({ labels: { severity: key.split('/')[0]!, condition: key.split('/')[1] ?? '' }, value: n })) },
    ...(await rolloutFamilies(ctx)),
    { name: 'murmur_webhook_deliveries_waiting', type: 'gauge', help: `Deliveries that wait, by webhook; ${waitingMax} are that many or more.`, samples: await waitingSamples(ctx) },
    ...(sites <= limits.usageRowsMax / 2 ? [...(await resourceFamilies(ctx)), await fullnessFamily(ctx)] : []),
  ]
}

async function rolloutFamilies(ctx: Ctx): Promise<Family[]> {
  const open = sql`SELECT id, state, pauses FROM rollout WHERE state IN ('scheduled', 'running', 'aborting') LIMIT ${rolloutsMax}`
  const states = await ctx.db.orm.all<{ state: string; n: number }>(sql`SELECT CASE WHEN state = 'running' AND pauses <> '[]' THEN 'paused' ELSE state END AS state, count(*) AS n FROM (${open}) GROUP BY 1`)
  const deployments = await ctx.db.orm.all<{ rollout: string; state: string; n: number }>(sql`
    SELECT o.id AS rollout, CASE WHEN c.state IN ${inFlightStates} THEN 'in-flight' WHEN c.state IN ${waitingStates} THEN 'waiting' ELSE c.state END AS state, sum(c.n) AS n
    FROM (${open}) o JOIN counter c ON c.rollout_id = o.id WHERE c.state IN ${[...inFlightStates, ...waitingStates, 'parked']} AND o.state <> 'scheduled' GROUP BY 1, 2`)
  return [
    { name: 'murmur_rollouts', type: 'gauge', help: 'Rollouts that are not over, by state.', samples: states.map(({ state, n }) => ({ labels: { state }, value: n })) },
    { name: 'murmur_deployments', type: 'gauge', help: 'Deployments that wait, are parked or are in flight, of rollouts that go on.', samples: deployments.map(({ rollout, state, n }) => ({ labels: { rollout, state }, value: n })) },
  ]
}

async function waitingSamples(ctx: Ctx): Promise<Sample[]> {
  const rows = await ctx.db.orm.all<{ id: string; n: number }>(sql`
    SELECT w.id, (SELECT count(*) FROM (SELECT 1 FROM delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting' LIMIT ${waitingMax})) AS n FROM webhook w LIMIT ${limits.webhooksMax}`)
  return rows.map(({ id, n }) => ({ labels: { webhook: id }, value: n }))
}

/** The newest quarter of an hour of which all sites have had the time to speak. */
async function resourceFamilies(ctx: Ctx): Promise<Family[]> {
  const startMs = Math.floor((ctx.nowMs - blockDelayMs) / limits.metricBlockMs) * limits.metricBlockMs - limits.metricBlockMs
  const [now] = await readBlockMoments(ctx, { where: eq(site.state, 'enrolled'), value: null }, [startMs])
  if (now === undefined) return []
  const gauge = (name: string, help: string, value: number | null): Family => ({ name, type: 'gauge', help, samples: value === null || !Number.isFinite(value) ? [] : [{ value }] })
  const mean = (sum: number | null, nodes: number | null): number | null => (sum === null || nodes === null ? null : Math.round((sum / nodes) * 10) / 10_000)
  return [
    gauge('murmur_reporting_sites', 'Sites that sent metrics for the newest quarter of an hour.', now.sites),
    gauge('murmur_reporting_nodes', 'Nodes of the sites that sent metrics.', now.nodes),
    gauge('murmur_cpu_ratio', 'Mean use of the processors of all nodes.', mean(now.cpu, now.cpuNodes)),
    gauge('murmur_memory_ratio', 'Mean use of the memory of all nodes.', mean(now.memory, now.memoryNodes)),
  ]
}

async function fullnessFamily(ctx: Ctx): Promise<Family> {
  const rows = await ctx.db.orm.all<{ used: number; n: number }>(sql`SELECT used, count(*) AS n FROM capacity GROUP BY used`)
  const atMost = (most: number): number => rows.filter(({ used }) => used <= most).reduce((sum, { n }) => sum + n, 0)
  const count = atMost(Number.POSITIVE_INFINITY)
  const samples: Sample[] = [
    ...buckets.map((most): Sample => ({ suffix: '_bucket', labels: { le: String(most / 1000) }, value: atMost(most) })),
    { suffix: '_bucket', labels: { le: '+Inf' }, value: count }, { suffix: '_sum', value: rows.reduce((sum, { used, n }) => sum + used * n, 0) / 1000 }, { suffix: '_count', value: count },
  ]
  return { name: 'murmur_fullest_filesystem_ratio', type: 'histogram', help: 'How full the fullest filesystem of each site is.', samples: count === 0 ? [] : samples }
}
