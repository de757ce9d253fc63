import type { AlarmEventView, AlarmView, FleetSummary } from '../../protocol/http/alarms.ts'
import { presences, severities, type Severity } from '../../protocol/states.ts'
import { factsText } from '../output/facts.ts'
import { severityTints } from '../output/paint.ts'
import type { Shape } from '../output/print.ts'
import { agoText, plural, timeText } from '../output/words.ts'

const stateText = (alarm: AlarmView): string => `${alarm.state}${alarm.flapping ? ', flapping' : ''}`

const sourceText: Record<AlarmView['source'], string> = { site: 'the site', controller: 'the controller', tool: 'a person or a tool' }

export const alarmShape = (nowMs: number): Shape<AlarmView> => ({
  nameOf: (alarm) => `${alarm.site}/${alarm.alarmId}/${alarm.entity}`,
  none: 'no alarms',
  columns: [
    { title: 'SITE', value: (alarm) => alarm.site },
    { title: 'ALARM', value: (alarm) => alarm.alarmId },
    { title: 'ENTITY', value: (alarm) => alarm.entity },
    { title: 'SEVERITY', value: (alarm) => alarm.severity, tint: (alarm) => severityTints[alarm.severity] },
    { title: 'GATING', value: (alarm) => (alarm.gating ? 'yes' : 'no') },
    { title: 'STATE', value: stateText },
    { title: 'FOR', value: (alarm) => agoText(alarm.raisedAt, nowMs) },
    { title: 'TEXT', value: (alarm) => alarm.text },
    { title: 'NAME', value: (alarm) => alarm.catalogue?.name ?? 'uncatalogued', wide: true },
    { title: 'SOURCE', value: (alarm) => alarm.source, wide: true },
    { title: 'ACKNOWLEDGED BY', value: (alarm) => alarm.acknowledged?.by ?? '-', wide: true },
  ],
})

/** One alarm with all that helps whoever has to deal with it. */
export function describeAlarm(alarm: AlarmView, nowMs: number): string {
  const { acknowledged, shelved, catalogue } = alarm
  return factsText([
    ['alarm', `${alarm.alarmId}  ${catalogue?.name ?? '(not in the catalogue of this controller)'}`], ['site', alarm.site], ['entity', alarm.entity], ['severity', `${alarm.severity}${alarm.gating ? ', keeps rollouts from going on' : ''}`],
    ['state', stateText(alarm)], ['text', alarm.text], ['raised', `${timeText(alarm.raisedAt)}, ${agoText(alarm.raisedAt, nowMs)} ago, by ${sourceText[alarm.source]}`],
    ...(alarm.siteTime === null ? [] : [['site says', `it began at ${timeText(alarm.siteTime)}`] as const]),
    ...(alarm.changedAt === alarm.raisedAt ? [] : [['changed', timeText(alarm.changedAt)] as const]),
    ...(alarm.clearedAt === null ? [] : [['cleared', timeText(alarm.clearedAt)] as const]),
    ...(acknowledged === null ? [] : [['acknowledged', `${timeText(acknowledged.at)} by ${acknowledged.by}${acknowledged.note === '' ? '' : `: ${acknowledged.note}`}`] as const]),
    ...(shelved === null ? [] : [['shelved', `until ${timeText(shelved.until)} by ${shelved.by}: ${shelved.reason}`] as const]),
    ...(catalogue === null ? [] : [['meaning', catalogue.meaning] as const, ['cause', catalogue.probableCause.replaceAll('-', ' ')] as const, ['what to do', catalogue.repair] as const]),
  ])
}

/** `7 alarms: 1 critical, 6 major`, the worst first. */
export function alarmCountsText(alarms: readonly Pick<AlarmView, 'severity'>[]): string {
  const counts = Map.groupBy(alarms, ({ severity }): Severity => severity)
  return `${plural(alarms.length, 'alarm')}: ${severities.flatMap((severity) => (counts.has(severity) ? [`${counts.get(severity)!.length} ${severity}`] : [])).join(', ')}`
}

export const alarmEventShape: Shape<AlarmEventView> = {
  nameOf: (event) => String(event.seq),
  none: 'no history of such alarms',
  columns: [
    { title: 'AT', value: (event) => timeText(event.at) },
    { title: 'CHANGE', value: (event) => `${event.change}${event.silenced ? ' (silent)' : ''}` },
    { title: 'SITE', value: (event) => event.site },
    { title: 'ALARM', value: (event) => event.alarmId },
    { title: 'ENTITY', value: (event) => event.entity },
    { title: 'SEVERITY', value: (event) => event.severity, tint: (event) => severityTints[event.severity] },
    { title: 'BY', value: (event) => event.by },
    { title: 'TEXT', value: (event) => (event.note === '' ? event.text : event.note) },
    { title: 'SEQ', value: (event) => String(event.seq), wide: true, align: 'right' },
  ],
}

/** The fleet in a few lines. */
export function summaryText({ sites, alarms }: FleetSummary): string {
  const there = presences.flatMap((presence) => (sites[presence] > 0 ? [`${sites[presence]} ${presence}`] : []))
  const enrolled = presences.reduce((sum, presence) => sum + sites[presence], 0)
  const rows = severities.flatMap((severity) => {
    const { active, acknowledged, shelved, silenced } = alarms[severity]
    const asides = ([['acknowledged', acknowledged], ['shelved', shelved], ['silenced', silenced]] as const).flatMap(([word, n]) => (n > 0 ? [`${n} ${word}`] : []))
    return active + acknowledged + shelved + silenced === 0 ? [] : [[severity, [`${active} active`, ...asides].join(', ')] as const]
  })
  return factsText([
    ['sites', `${enrolled}${there.length === 0 ? '' : ` (${there.join(', ')})`}${sites.claimed === 0 ? '' : `, and ${sites.claimed} not enrolled yet`}`],
    ...(rows.length === 0 ? [['alarms', 'none'] as const] : rows),
  ])
}
