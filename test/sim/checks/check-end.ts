import type { SimFleet } from '../fleet.ts'
import { checkStanding, holdersOf } from './check-alarms.ts'
import { statusOf, type Checkers } from './checkers.ts'
import type { Finding } from './check-rows.ts'
import type { DeploymentState, Outcome } from '../../../protocol/states.ts'
import { readRows, type Rows } from './rows.ts'

/** What may have become of an attempt meanwhile: one that failed, or was silent for so long that it was given up, may be waived or retried by a person or the policy. */
const reopened: readonly DeploymentState[] = ['skipped', 'pending', 'parked', 'cancelled', 'superseded']

/** What the controller may think of an attempt that the site says has ended so. */
const viewsOf: Record<Outcome, readonly DeploymentState[]> = {
  succeeded: ['succeeded', ...reopened],
  failed: ['failed', ...reopened],
  'rolled-back': ['rolled-back', ...reopened],
  'timed-out': ['timed-out', ...reopened],
  'needs-hands': ['needs-hands', ...reopened],
  aborted: ['cancelled', 'skipped', 'pending', 'parked'],
  'not-started': ['pending', 'parked', 'cancelled', 'skipped', 'superseded'],
}

const unended: ReadonlySet<DeploymentState> = new Set(['pending', 'granted', 'running'])

/** After faults have stopped and everything had its time: I9, I16 and I19. */
export async function checkEnd(fleet: SimFleet, checkers: Checkers): Promise<Finding[]> {
  const rows = await readRows(fleet.controller.db, Number.MAX_SAFE_INTEGER)
  return [...checkViews(fleet, checkers, rows), ...checkEnds(rows), ...checkStanding(fleet, rows, checkers.told)]
}

/** I19: a site that goes is known to be gone within a minute of its going, and so is that it is back. */
export async function checkLoss(fleet: SimFleet, checkers: Checkers): Promise<Finding[]> {
  const [site] = fleet.sites.values()
  const look = async (): Promise<Finding[]> => checkStanding(fleet, await readRows(fleet.controller.db, Number.MAX_SAFE_INTEGER), checkers.told)
  site!.partitioned = true
  fleet.broker.cut((client) => client.name === site!.name)
  await fleet.world.run(fleet.world.nowMs + 60_000)
  const gone = await look()
  const presence = (await readRows(fleet.controller.db, Number.MAX_SAFE_INTEGER)).sites.get(site!.plan.id)!.presence
  if (presence !== 'offline') gone.push({ invariant: 'I19', evidence: `${site!.name} was cut off a minute ago, and is ${presence}` })
  site!.partitioned = false
  await fleet.world.run(fleet.world.nowMs + 5 * 60_000)
  return [...gone, ...(await look())]
}

/** I9 */
function checkViews(fleet: SimFleet, checkers: Checkers, rows: Rows): Finding[] {
  const findings: Finding[] = []
  const differ = (site: string, what: string, theirs: unknown, own: unknown): void => void findings.push({ invariant: 'I9', evidence: `${site}: the controller has ${what} ${JSON.stringify(theirs)}, the site ${JSON.stringify(own)}` })
  for (const site of fleet.sites.values()) {
    const status = statusOf(site)
    const row = rows.sites.get(site.plan.id)!
    if (status === null || !status.connected) {
      findings.push({ invariant: 'I9', evidence: `${site.name} did not come back: ${status === null ? 'its agent does not run' : 'it is not connected'}` })
      continue
    }
    if (row.presence !== 'online') differ(site.name, 'presence', row.presence, 'online')
    const running = row.running === null ? null : (JSON.parse(row.running) as { digest: string })
    if ((running?.digest ?? null) !== (status.running?.digest ?? null)) differ(site.name, 'running', running, status.running)
    const truth = checkers.machine(site)
    if (!truth.mixed && (truth.running?.ref.digest ?? null) !== (status.running?.digest ?? null)) differ(site.name, 'nodes', status.running, truth.running?.ref)
    const { attempt } = status
    if (attempt === null || attempt.outcome === null) continue
    const deployment = rows.deployments.get(attempt.deployment)
    if (deployment === undefined || deployment.attempt !== attempt.attempt) continue
    if (!viewsOf[attempt.outcome].includes(deployment.state)) differ(site.name, `attempt ${attempt.attempt} of ${attempt.deployment}`, deployment.state, attempt.outcome)
  }
  return findings
}

/** I16 */
function checkEnds(rows: Rows): Finding[] {
  const findings: Finding[] = []
  for (const rollout of rows.rollouts.values()) {
    if (rollout.pauses > 0) continue
    const live = [...rows.deployments.values()].filter((d) => d.rollout === rollout.id && unended.has(d.state))
    const waiting = [...rows.waves.values()].filter((wave) => wave.rollout === rollout.id && wave.state === 'waiting')
    const ended = rollout.state === 'completed' || rollout.state === 'aborted' || rollout.state === 'superseded'
    const byHands = [...rows.deployments.values()].some((d) => d.rollout === rollout.id && d.state === 'needs-hands')
    // what an alarm keeps shut waits for a person
    const isHeld = waiting.length > 0 && holdersOf(rows, rollout.id).length > 0
    if (isHeld && !live.some((d) => waiting.every(({ ordinal }) => ordinal !== d.wave))) continue
    if (live.length > 0 || (!ended && !byHands)) {
      findings.push({ invariant: 'I16', evidence: `rollout ${rollout.id} is ${rollout.state}, not paused, and has not ended: ${live.map((d) => `${d.site} ${d.state} (attempt ${d.attempt})`).join(', ')}; ${waiting.length} waves wait` })
    }
  }
  return findings
}
