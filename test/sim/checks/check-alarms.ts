import { alarmIds, gates, saidOnceAlarms } from '../../../protocol/alarms.ts'
import type { StandingAlarm } from '../../../protocol/reports.ts'
import type { SimFleet } from '../fleet.ts'
import type { Finding } from './check-rows.ts'
import type { AlarmFacts, Rows } from './rows.ts'

/** In the way of rollouts (SPEC §4.2): by the catalogue, and not by what the database says of it. */
const isInTheWay = (a: AlarmFacts): boolean => a.isStanding === 1 && a.isAcknowledged === 0 && a.isShelved === 0 && a.isSilenced === 0 && gates(a.alarmId, a.severity)

/** Alarms that keep the next wave of a rollout shut: at sites that it touched. */
export function holdersOf(rows: Rows, rollout: string): AlarmFacts[] {
  if (!rows.rollouts.get(rollout)!.policy.alarmGate) return []
  return rows.alarms.filter((alarm) => (rows.deployments.get(`${rollout}:${alarm.site}`)?.attempt ?? 0) > 0 && isInTheWay(alarm))
}

/** Those over which it has to stop: raised since their site was granted. */
const stoppersOf = (rows: Rows, rollout: string): AlarmFacts[] =>
  holdersOf(rows, rollout).filter((alarm) => alarm.raisedMs >= (rows.deployments.get(`${rollout}:${alarm.site}`)!.grantedMs ?? Number.POSITIVE_INFINITY))

const nameOf = ({ alarmId, entity, site }: Pick<AlarmFacts, 'alarmId' | 'entity' | 'site'>): string => `${alarmId} (${entity}) at ${site}`

/** I18: nothing is granted past an alarm that was there before the batch that grants; and a pause over alarms names one. */
export function checkAlarmGate(before: Rows, after: Rows): Finding[] {
  const findings: Finding[] = []
  for (const [key, d] of after.deployments) {
    if (d.state !== 'granted' || d.attempt <= (before.deployments.get(key)?.attempt ?? 0) || !before.rollouts.has(d.rollout)) continue
    const stoppers = stoppersOf(before, d.rollout)
    if (stoppers.length > 0) findings.push({ invariant: 'I18', evidence: `${d.site} was granted by ${d.rollout}, though ${stoppers.map(nameOf).join(', ')} stood` })
  }
  for (const { id, alarmPause } of after.rollouts.values()) {
    if (alarmPause === null || before.rollouts.get(id)?.alarmPause !== null) continue
    if (!stoppersOf(before, id).some((alarm) => alarmPause.includes(nameOf(alarm)))) findings.push({ invariant: 'I18', evidence: `rollout ${id} has paused over an alarm, and says "${alarmPause}"` })
  }
  return findings
}

/** I12 */
export function checkTally(after: Rows): Finding[] {
  const recount = new Map<string, number>()
  const count = (key: string): unknown => recount.set(key, (recount.get(key) ?? 0) + 1)
  for (const site of after.sites.values()) count(`site/${site.state === 'enrolled' ? site.presence : site.state}`)
  for (const a of after.alarms) {
    if (a.isStanding === 1) count(`alarm/${a.severity}/${a.isShelved === 1 ? 'shelved' : a.isSilenced === 1 ? 'silenced' : a.isAcknowledged === 1 ? 'acknowledged' : 'active'}`)
  }
  return [...new Set([...recount.keys(), ...after.tally.keys()])].filter((key) => (recount.get(key) ?? 0) !== (after.tally.get(key) ?? 0))
    .map((key) => ({ invariant: 'I12', evidence: `tally ${key} is ${after.tally.get(key) ?? 0}, a recount gives ${recount.get(key) ?? 0}` }))
}

/** I19: once all is quiet, the alarms that stand are those that have to. `told`: what each site said last of all that stands there. */
export function checkStanding(fleet: SimFleet, rows: Rows, told: ReadonlyMap<string, readonly StandingAlarm[]>): Finding[] {
  const findings: Finding[] = []
  const standing = rows.alarms.filter(({ isStanding }) => isStanding === 1)
  for (const { id, presence } of rows.sites.values()) {
    const offline = standing.filter(({ site, alarmId }) => site === id && alarmId === alarmIds.siteOffline).length
    const suspect = standing.filter(({ site, alarmId }) => site === id && alarmId === alarmIds.siteSuspect).length
    if (offline !== (presence === 'offline' ? 1 : 0) || suspect !== (presence === 'suspect' ? 1 : 0)) findings.push({ invariant: 'I19', evidence: `${id} is ${presence}, ${offline} alarms say it is offline and ${suspect} that it is suspect` })
  }
  for (const id of fleet.sites.keys()) {
    const said = told.get(id)
    if (said === undefined) continue
    const own = said.filter(({ alarmId }) => !saidOnceAlarms.includes(alarmId)).map(({ alarmId, entity, severity }) => `${alarmId} ${entity} ${severity}`).sort().join(', ')
    const held = standing.filter(({ site, source, alarmId }) => site === id && source === 'site' && !saidOnceAlarms.includes(alarmId)).map(({ alarmId, entity, severity }) => `${alarmId} ${entity} ${severity}`).sort().join(', ')
    if (own !== held) findings.push({ invariant: 'I19', evidence: `at ${id} stands "${own}" by its own word, and "${held}" by the controller's` })
  }
  return findings
}
