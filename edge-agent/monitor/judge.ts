import { isAtLeast } from '../../protocol/alarms.ts'
import { severities, type Severity } from '../../protocol/states.ts'

/** Raised once `raiseAfter` of the last `outOf` samples are that bad; better once all of the last `clearAfter` are. */
export type Debounce = { raiseAfter: number; outOf: number; clearAfter: number }

/** One sample of one thing that may have an alarm. */
export type Reading = {
  alarmId: string
  entity: string
  /** How bad it is by this sample; null: not at all. */
  beyond: Severity | null
  /** How bad it stays by this sample if it was at least that bad before (hysteresis). Never better than `beyond`. */
  near: Severity | null
  /** What to say about it at a severity. */
  text(severity: Severity): string
  debounce: Debounce
}

/** One thing of several in a scope that could not be told this time: nothing changes for it. */
export type Untold = { alarmId: string; entity: string; untold: true }

/** What one look at a source found, by scope: null where it could not be told, which changes nothing. */
export type Looked = ReadonlyMap<string, readonly (Reading | Untold)[] | null>

/** Something that is wrong, after debouncing. `scope` says with what it is looked at: `SOURCE` or `SOURCE DETAIL`. */
export type Condition = { scope: string; alarmId: string; entity: string; severity: Severity; text: string }

type Watched = { beyond: readonly (Severity | null)[]; near: readonly (Severity | null)[]; debounce: Debounce; condition: Condition | null }
/** All that is known of the samples so far: by scope, then by alarm. */
export type Judgement = ReadonlyMap<string, ReadonlyMap<string, Watched>>

export const sourceOf = (scope: string): string => scope.split(' ', 1)[0]!
/** The identity of an alarm within its site. */
export const alarmKey = ({ alarmId, entity }: { alarmId: string; entity: string }): string => `${alarmId} ${entity}`

const isWorse = (a: Severity | null, than: Severity | null): boolean => a !== null && (than === null || !isAtLeast(than, a))
export const worstOf = (all: readonly (Severity | null)[]): Severity | null => all.reduce<Severity | null>((worst, each) => (isWorse(each, worst) ? each : worst), null)

/** A judgement that begins with what already stood: a restart neither clears it nor finds it again. */
export function restoreJudgement(conditions: readonly Condition[]): Judgement {
  const restored = new Map<string, Map<string, Watched>>()
  for (const condition of conditions) {
    const scope = restored.get(condition.scope) ?? new Map<string, Watched>()
    restored.set(condition.scope, scope.set(alarmKey(condition), { beyond: [], near: [], debounce: { raiseAfter: 1, outOf: 1, clearAfter: 1 }, condition }))
  }
  return restored
}

/** Only what these sources look at; what another one found is not wrong any more as far as anybody knows. */
export const keepSources = (before: Judgement, sources: ReadonlySet<string>): Judgement => new Map([...before].filter(([scope]) => sources.has(sourceOf(scope))))

/** Takes in what one source saw. Scopes of it that are not among them are not looked at any more. Pure. */
export function judge(before: Judgement, source: string, looked: Looked): Judgement {
  const after = new Map([...before].filter(([scope]) => sourceOf(scope) !== source || looked.has(scope)))
  for (const [scope, readings] of looked) if (readings !== null) after.set(scope, judgeScope(scope, before.get(scope) ?? new Map(), readings))
  return after
}

export const conditionsOf = (judgement: Judgement): Condition[] => [...judgement.values()].flatMap((scope) => [...scope.values()].flatMap(({ condition }) => (condition === null ? [] : [condition])))

function judgeScope(scope: string, before: ReadonlyMap<string, Watched>, looked: readonly (Reading | Untold)[]): Map<string, Watched> {
  const worstByKey = new Map<string, Reading>()
  const untold = new Set<string>()
  for (const reading of looked) {
    if ('untold' in reading) {
      untold.add(alarmKey(reading))
      continue
    }
    const other = worstByKey.get(alarmKey(reading))
    if (other === undefined || isWorse(reading.beyond, other.beyond)) worstByKey.set(alarmKey(reading), reading)
  }
  const after = new Map<string, Watched>()
  for (const [key, reading] of worstByKey) after.set(key, judgeReading(scope, before.get(key), reading))
  for (const [key, watched] of before) {
    if (worstByKey.has(key)) continue
    if (untold.has(key)) {
      after.set(key, watched)
      continue
    }
    if (watched.condition === null) continue
    const { alarmId, entity, text } = watched.condition
    const gone = judgeReading(scope, watched, { alarmId, entity, beyond: null, near: null, text: () => text, debounce: watched.debounce })
    if (gone.condition !== null) after.set(key, gone)
  }
  return after
}

function judgeReading(scope: string, before: Watched | undefined, { alarmId, entity, text, debounce, ...sample }: Reading): Watched {
  const beyond = [...(before?.beyond ?? []), sample.beyond].slice(-Math.max(debounce.outOf, debounce.raiseAfter))
  const near = [...(before?.near ?? []), sample.near].slice(-debounce.clearAfter)
  const condition = before?.condition ?? null
  const as = (severity: Severity): Condition => ({ scope, alarmId, entity, severity, text: text(severity) })
  const reached = severities.find((severity) => beyond.filter((each) => each !== null && isAtLeast(each, severity)).length >= debounce.raiseAfter) ?? null
  if (isWorse(reached, condition?.severity ?? null)) return { beyond, near, debounce, condition: as(reached!) }
  const left = worstOf(near)
  if (condition === null || near.length < debounce.clearAfter || !isWorse(condition.severity, left)) return { beyond, near, debounce, condition }
  // samples that made it worse must not do so again: only new ones count from here
  return { beyond: [], near, debounce, condition: left === null ? null : as(left) }
}
