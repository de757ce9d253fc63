import { amountDown, isBarrier } from '../../../protocol/policy.ts'
import { inFlightStates, outsideStates } from '../../../protocol/states.ts'
import type { Report } from '../../../protocol/reports.ts'
import { checkAlarmGate, checkTally } from './check-alarms.ts'
import type { DeploymentFacts, Rows } from './rows.ts'

/** What sites have said so far, beside the database. */
export type Spoken = { reports: ReadonlyMap<string, Report>; gone: ReadonlySet<string> }
export type Finding = { invariant: string; evidence: string }
export const reportKey = (site: string, incarnation: number, seq: number): string => `${site}/${incarnation}/${seq}`

const isInFlight = (d: DeploymentFacts): boolean => inFlightStates.includes(d.state)

/** Holds what a batch has made of the database against what it was. Written from SPEC.md, not from the code under test. */
export function checkRows(before: Rows, after: Rows, spoken: Spoken, nowMs: number): Finding[] {
  return [...checkCounters(after), ...checkGrants(before, after), ...checkWaves(before, after, nowMs), ...checkAudit(before, after), ...checkSeqs(before, after, spoken), ...checkPresence(before, after, spoken), ...checkAlarmGate(before, after), ...checkTally(after)]
}

/** I12 */
function checkCounters(after: Rows): Finding[] {
  const recount = new Map<string, number>()
  for (const d of after.deployments.values()) {
    const key = `${d.rollout}/${d.wave}/${d.grp}/${d.state}`
    recount.set(key, (recount.get(key) ?? 0) + 1)
  }
  const keys = new Set([...recount.keys(), ...after.counters.keys()])
  return [...keys].filter((key) => (recount.get(key) ?? 0) !== (after.counters.get(key) ?? 0))
    .map((key) => ({ invariant: 'I12', evidence: `counter ${key} is ${after.counters.get(key) ?? 0}, a recount gives ${recount.get(key) ?? 0}` }))
}

/** I7, I14: looked at whenever a place is taken. */
function checkGrants(before: Rows, after: Rows): Finding[] {
  const findings: Finding[] = []
  const taken = [...after.deployments].filter(([key, d]) => d.state === 'granted' && d.attempt > (before.deployments.get(key)?.attempt ?? 0)).map(([, d]) => d)
  for (const id of new Set(taken.map((d) => d.rollout))) {
    const { policy } = after.rollouts.get(id)!
    const members = [...after.deployments.values()].filter((d) => d.rollout === id && d.wave >= 0)
    const flying = members.filter(isInFlight)
    const limit = amountDown(policy.maxParallel, members.length)
    if (flying.length > limit) findings.push({ invariant: 'I7', evidence: `${flying.length} sites of rollout ${id} are in flight, maxParallel is ${limit}: ${flying.map((d) => `${d.site} ${d.state}`).join(', ')}` })
    if (policy.groupBy === null) continue
    for (const grp of new Set(taken.map((d) => d.grp))) {
      const groupLimit = amountDown(policy.groupBy.maxParallel, members.filter((d) => d.grp === grp).length)
      const inGroup = flying.filter((d) => d.grp === grp).length
      if (inGroup > groupLimit) findings.push({ invariant: 'I7', evidence: `${inGroup} sites of group "${grp}" of rollout ${id} are in flight, its limit is ${groupLimit}` })
    }
  }
  for (const d of taken) {
    const others = [...after.deployments.values()].filter((o) => o.site === d.site && o.rollout !== d.rollout && isInFlight(o))
    if (others.length > 0) findings.push({ invariant: 'I14', evidence: `${d.site} was granted by ${d.rollout} while ${others.map((o) => `${o.rollout} is ${o.state}`).join(', ')}` })
    if ((after.rollouts.get(d.rollout)!.pauses ?? 0) > 0) findings.push({ invariant: 'I13', evidence: `${d.site} was granted by ${d.rollout}, which is paused` })
  }
  return findings
}

/** I13: the opening rule, over the rows as they were before the batch that opened a wave. */
function checkWaves(before: Rows, after: Rows, nowMs: number): Finding[] {
  const findings: Finding[] = []
  for (const [key, wave] of after.waves) {
    if (wave.ordinal === 0 || before.waves.get(key)?.state !== 'waiting' || wave.state === 'waiting') continue
    const previous = before.waves.get(`${wave.rollout}/${wave.ordinal - 1}`)!
    const members = [...before.deployments.values()].filter((d) => d.rollout === wave.rollout && d.wave === previous.ordinal)
    const count = (holds: (d: DeploymentFacts) => boolean): number => members.filter(holds).length
    const counted = members.length - count((d) => outsideStates.includes(d.state))
    const succeeded = count((d) => d.state === 'succeeded')
    const wrong: string[] = []
    if (previous.state === 'waiting') wrong.push('the wave before it is not open')
    if (count((d) => d.state === 'pending') > 0) wrong.push('some have not started')
    if (succeeded < Math.ceil(previous.policy.successThreshold * counted - 1e-9)) wrong.push(`${succeeded} of ${counted} succeeded, the threshold is ${previous.policy.successThreshold}`)
    if (succeeded === 0 && previous.approvedBy === null) wrong.push('none has succeeded, and nobody has approved it')
    if (isBarrier(previous.policy) && count(isInFlight) > 0) wrong.push('some are in flight')
    if (previous.lastSuccessMs !== null && previous.lastSuccessMs + previous.policy.soak > nowMs) wrong.push('it soaks')
    if (previous.policy.approval && previous.approvedBy === null) wrong.push('nobody has approved it')
    if ((before.rollouts.get(wave.rollout)?.pauses ?? 0) > 0) wrong.push('the rollout is paused')
    if (wrong.length > 0) findings.push({ invariant: 'I13', evidence: `wave ${wave.ordinal} of ${wave.rollout} was opened, though of the wave before it: ${wrong.join('; ')}` })
  }
  return findings
}

/** I15 */
function checkAudit(before: Rows, after: Rows): Finding[] {
  const findings: Finding[] = []
  for (const [key, d] of after.deployments) {
    const was = before.deployments.get(key)
    if (was === undefined || was.state === d.state) continue
    const told = after.audit.some((entry) => entry.entity === `rollout/${d.rollout}` && (entry.site === null || entry.site === d.site))
    if (!told) findings.push({ invariant: 'I15', evidence: `${key} went from ${was.state} to ${d.state} without an audit entry` })
  }
  return findings
}

/** I8: within an incarnation what a row came from only gets newer, and the row says what that report said. */
function checkSeqs(before: Rows, after: Rows, spoken: Spoken): Finding[] {
  const findings: Finding[] = []
  for (const [id, site] of after.sites) {
    const was = before.sites.get(id)
    if (was === undefined || was.incarnation !== site.incarnation) continue
    if (site.helloSeq < was.helloSeq || site.runningSeq < was.runningSeq) findings.push({ invariant: 'I8', evidence: `${id} went back from report ${Math.max(was.helloSeq, was.runningSeq)} to an older one` })
    const { body } = spoken.reports.get(reportKey(id, site.incarnation, site.runningSeq)) ?? {}
    if (site.runningSeq === was.runningSeq || body === undefined) continue
    const said = body.kind === 'hello' || body.kind === 'progress' ? (body.running === null ? null : JSON.stringify(body.running)) : 'something else'
    if (said !== site.running) findings.push({ invariant: 'I8', evidence: `${id} is said to run ${site.running}, its report ${site.runningSeq} says ${said}` })
  }
  for (const [key, d] of after.deployments) {
    const was = before.deployments.get(key)
    if (was !== undefined && was.seqIncarnation === d.seqIncarnation && d.seq < was.seq) findings.push({ invariant: 'I8', evidence: `${key} went back from report ${was.seq} to ${d.seq}` })
  }
  return findings
}

/** I10: who was online goes offline only because the connection of its newest hello is gone. */
function checkPresence(before: Rows, after: Rows, { gone }: Spoken): Finding[] {
  return [...after.sites.values()].flatMap((site) => {
    const was = before.sites.get(site.id)
    const wentAway = was?.presence === 'online' && site.presence === 'offline' && was.connection === site.connection
    return !wentAway || gone.has(site.connection ?? '') ? [] : [{ invariant: 'I10', evidence: `${site.id} went offline, and nobody said that connection ${site.connection} is gone` }]
  })
}
