import { alarmIds, isAtLeast } from '../../protocol/alarms.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import type { StandingAlarm } from '../../protocol/reports.ts'
import { severities, type Severity } from '../../protocol/states.ts'
import { alarmKey, type Condition } from './judge.ts'

/** An alarm that the controller has been told, with what looks at it. */
export type Told = StandingAlarm & { scope: string }
/** Of a condition that came and went: when it last did, newest last, and whether its alarm is held raised until it is quiet. */
type Flaps = { changedMs: readonly number[]; held: boolean }
/** All that stands, and what it takes to tell a change from a flap. */
export type AlarmSet = { told: ReadonlyMap<string, Told>; seen: ReadonlyMap<string, Severity>; flaps: ReadonlyMap<string, Flaps> }
export type AlarmChange = { raised: boolean; alarm: Told }
export type Now = { wallMs: number; monotonicMs: number }

/** The scope of what is about monitoring itself. */
const ownScope = 'alarms'

/** What stands when an agent starts: all that was told in the life before. */
export const restoreAlarms = (told: readonly Told[]): AlarmSet => {
  const others = told.filter(({ scope }) => scope !== ownScope)
  return { told: new Map(told.map((alarm) => [alarmKey(alarm), alarm])), seen: new Map(others.map((alarm) => [alarmKey(alarm), alarm.severity])), flaps: new Map() }
}

const sizeBytesOf = ({ scope: _, ...alarm }: Told): number => utf8(JSON.stringify(alarm)).length + 1

/**
 * What to tell, now that these conditions hold. One that changed `alarmFlapsMax` times within `alarmFlapWindowMs` stays raised until it was
 * quiet for as long, and is only told to be worse; so a condition costs at most that many reports and one more for each severity.
 * What is beyond `alarmsPerSiteMax` or `standingBytesMax` is not told one by one: one alarm says so. Pure.
 */
export function decideAlarms(before: AlarmSet, conditions: readonly Condition[], now: Now): { after: AlarmSet; changes: AlarmChange[] } {
  const wanted = new Map(conditions.map((condition) => [alarmKey(condition), condition]))
  const flaps = foldFlaps(before, wanted, now.monotonicMs)
  const told = new Map(before.told)
  const changes: AlarmChange[] = []
  for (const [key, alarm] of before.told) {
    const condition = wanted.get(key)
    if (alarm.scope === ownScope) continue
    if (condition === undefined && flaps.get(key)?.held !== true) {
      told.delete(key)
      changes.push({ raised: false, alarm })
    }
    if (condition !== undefined && condition.severity !== alarm.severity && (flaps.get(key)?.held !== true || isAtLeast(condition.severity, alarm.severity))) {
      const changed: Told = { ...alarm, severity: condition.severity, text: condition.text }
      told.set(key, changed)
      changes.push({ raised: true, alarm: changed })
    }
  }
  const folded = raiseNew(told, changes, wanted, flaps, now.wallMs)
  tellFolded(told, changes, folded, now.wallMs)
  return { after: { told, seen: new Map([...wanted].map(([key, { severity }]) => [key, severity])), flaps }, changes }
}

function foldFlaps(before: AlarmSet, wanted: ReadonlyMap<string, Condition>, nowMs: number): Map<string, Flaps> {
  const flaps = new Map<string, Flaps>()
  for (const key of new Set([...before.flaps.keys(), ...before.seen.keys(), ...wanted.keys()])) {
    const { changedMs, held } = before.flaps.get(key) ?? { changedMs: [], held: false }
    const changed = before.seen.get(key) !== wanted.get(key)?.severity
    const recent = [...changedMs.filter((atMs) => nowMs - atMs < limits.alarmFlapWindowMs), ...(changed ? [nowMs] : [])].slice(-limits.alarmFlapsMax)
    if (recent.length > 0) flaps.set(key, { changedMs: recent, held: held || recent.length >= limits.alarmFlapsMax })
  }
  return flaps
}

/** Raises what is not told yet, the worst first, as far as there is room; returns for how many there was none. */
function raiseNew(told: Map<string, Told>, changes: AlarmChange[], wanted: ReadonlyMap<string, Condition>, flaps: ReadonlyMap<string, Flaps>, wallMs: number): number {
  const fresh = [...wanted].filter(([key]) => !told.has(key)).sort(([, a], [, b]) => severities.indexOf(a.severity) - severities.indexOf(b.severity))
  if (fresh.length === 0) return 0
  const roomMax = limits.alarmsPerSiteMax - 1
  let [folded, sizeBytes] = [0, [...told.values()].reduce((sum, alarm) => sum + sizeBytesOf(alarm), 0)]
  for (const [key, { scope, alarmId, entity, severity, text }] of fresh) {
    const alarm: Told = { scope, alarmId, entity, severity, text: flaps.get(key)?.held === true ? `${text} (comes and goes)`.slice(0, limits.reasonLengthMax) : text, sinceMs: wallMs }
    const ownBytes = sizeBytesOf(alarm)
    const others = told.size - (told.has(tooManyKey) ? 1 : 0)
    if (others >= roomMax || sizeBytes + ownBytes > limits.standingBytesMax) {
      folded += 1
      continue
    }
    sizeBytes += ownBytes
    told.set(key, alarm)
    changes.push({ raised: true, alarm })
  }
  return folded
}

const tooMany = { alarmId: alarmIds.tooMany, entity: 'site' }
const tooManyKey = alarmKey(tooMany)
const calmMax = (limits.alarmsPerSiteMax * 3) / 4

function tellFolded(told: Map<string, Told>, changes: AlarmChange[], folded: number, wallMs: number): void {
  const standing = told.get(tooManyKey)
  if (folded > 0 && standing === undefined) {
    const alarm: Told = { scope: ownScope, ...tooMany, severity: 'major', text: `${told.size} alarms are told one by one, ${folded} more are not`, sinceMs: wallMs }
    told.set(tooManyKey, alarm)
    changes.push({ raised: true, alarm })
  }
  // not as soon as one more has room: it would come and go with whatever is at the edge
  if (folded === 0 && standing !== undefined && told.size <= calmMax) {
    told.delete(tooManyKey)
    changes.push({ raised: false, alarm: standing })
  }
}
