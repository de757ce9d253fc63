import { alarmCatalogue, gates } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { severities } from '../../protocol/states.ts'

// What the catalogue and the limits say, as SQL: conditions of alarms are often found by the database itself. All of it is made of our own
// names and numbers, never of what somebody sent.

const list = (values: readonly string[]): string => values.map((value) => `'${value}'`).join(', ')
const entries = [...alarmCatalogue.values()]
const gatingPairs = entries.flatMap(({ id }) => severities.filter((severity) => gates(id, severity)).map((severity) => `${id}/${severity}`))
/** What an id that is not in the catalogue does. */
const gatingElse = severities.filter((severity) => gates('', severity))
const expected = entries.filter((entry) => entry.expectedInMaintenance).map(({ id }) => id)

/** 1 where an alarm of row `of` (alarm_id, severity) keeps rollouts from going on, else 0. */
export const gatingOf = (of: string): string =>
  `CASE WHEN ${of}.alarm_id IN (${list(entries.map(({ id }) => id))}) THEN ${of}.alarm_id || '/' || ${of}.severity IN (${list(gatingPairs)}) ELSE ${of}.severity IN (${list(gatingElse)}) END`

/**
 * 1 where an alarm of row `of` (site_id, alarm_id, entity) is of a kind that a deployment or a person at work brings about, and one of them is at it: a
 * deployment in flight at the site, or a lock of the node that the entity names (of any node, where it names none). Else 0.
 */
export const silencedOf = (of: string): string =>
  `(${of}.alarm_id IN (${list(expected)}) AND (
     EXISTS (SELECT 1 FROM deployment d WHERE d.site_id = ${of}.site_id AND d.state IN ('granted', 'running'))
     OR EXISTS (SELECT 1 FROM site l, json_each(l.locks) AS k WHERE l.id = ${of}.site_id AND (${of}.entity NOT LIKE 'node=%' OR ${of}.entity || '.' GLOB 'node=' || (k.value->>'node') || '.*'))))`

/** A number for a severity, the smaller the worse. */
export const rankOf = (severity: string): string => `instr('${severities.join(' ')}', ${severity})`

/** Whether severity `a` is worse than severity `b`. */
export const isWorse = (a: string, b: string): string => `${rankOf(a)} < ${rankOf(b)}`

/** Whether the window in which raises of alarm `of` are counted still runs; takes the time. */
export const inFlapWindow = (of: string): string => `${of}.flaps_since_ms > ? - ${limits.alarmFlapWindowMs}`

/** Whether alarm `of` has been raised too often of late to be written each time; takes the time. */
export const isFlapping = (of: string): string => `(${of}.flaps > ${limits.alarmFlapsMax} AND ${inFlapWindow(of)})`
