import type { FleetEvent } from '../../protocol/events.ts'
import { severities, type Severity } from '../../protocol/states.ts'
import { alarmOf, asksForAttention, describeEvent } from './describe-event.ts'
import { inert } from './inert.ts'
import type { Addressee, Message } from './render.ts'

/** An alert that nobody repeats ends by itself after some minutes unless it says when: an alarm stands until it clears. */
const standsForMs = 365 * 86_400_000
const passingMs = 5 * 60_000
const labelMax = 250

type Alert = { labels: Record<string, string>; annotations: Record<string, string>; startsAt?: string; endsAt: string }

/** The alerts of Alertmanager's API v2: for each alarm of the message its newest state, for any other event one that ends after five minutes. */
export function renderAlertmanager(to: Addressee, message: Message): { url: string; body: string } {
  const newest = new Map<string, FleetEvent>()
  const changed = new Set<string>()
  for (const event of message.events) {
    const alarm = alarmOf(event)
    const key = alarm === null ? event.id : JSON.stringify([alarm.site, alarm.alarmId, alarm.entity])
    if (newest.has(key) || alarm?.change === 'changed') changed.add(key)
    newest.set(key, event)
  }
  const alerts = [...newest].flatMap(([key, event]) => (alarmOf(event) === null ? [passingAlert(to, event)] : alertsOf(to, event, changed.has(key))))
  return { url: alertsUrl(to.target.url), body: JSON.stringify(alerts) }
}

function alertsUrl(base: string): string {
  const url = new URL(base)
  if (!url.pathname.endsWith('/api/v2/alerts')) url.pathname = `${url.pathname.replace(/\/$/, '')}/api/v2/alerts`
  return url.href
}

/** Labels are the identity of an alert, and severity is among them because routes go by it: where it may have changed, those of the others end. */
function alertsOf(to: Addressee, event: FleetEvent, changed: boolean): Alert[] {
  const alarm = alarmOf(event)!
  const { title, text } = describeEvent(event, to.fleet)
  const labelsAs = (severity: Severity): Record<string, string> => ({
    alertname: inert(alarm.name ?? `Alarm ${alarm.alarmId}`, labelMax), fleet: to.fleet, site: inert(alarm.site ?? '', labelMax), alarm_id: inert(alarm.alarmId, labelMax), entity: inert(alarm.entity, labelMax), severity,
  })
  const annotations = {
    summary: title, description: text,
    ...(alarm.repair === null ? {} : { repair: inert(alarm.repair) }), ...(alarm.change === 'acknowledged' && alarm.by !== null ? { acknowledged_by: inert(alarm.by) } : {}),
  }
  const own: Alert = asksForAttention(alarm)
    ? { labels: labelsAs(alarm.severity), annotations, startsAt: event.time, endsAt: after(event.time, standsForMs) }
    : { labels: labelsAs(alarm.severity), annotations, endsAt: event.time }
  const others = changed ? severities.filter((severity) => severity !== alarm.severity) : []
  return [...others.map((severity) => ({ labels: labelsAs(severity), annotations: {}, endsAt: event.time })), own]
}

function passingAlert(to: Addressee, event: FleetEvent): Alert {
  const { title, text, facts } = describeEvent(event, to.fleet)
  const site = facts.find(([name]) => name === 'Site')?.[1] ?? ''
  return {
    labels: { alertname: event.type, fleet: to.fleet, site, entity: inert(event.subject, labelMax), severity: 'info' },
    annotations: { summary: title, description: text }, startsAt: event.time, endsAt: after(event.time, passingMs),
  }
}

const after = (time: string, spanMs: number): string => new Date(Date.parse(time) + spanMs).toISOString()
