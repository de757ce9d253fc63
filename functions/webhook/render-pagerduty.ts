import type { FleetEvent } from '../../protocol/events.ts'
import type { Severity } from '../../protocol/states.ts'
import { alarmOf, asksForAttention, describeEvent } from './describe-event.ts'
import { hashOf } from './hash.ts'
import { cut, inert } from './inert.ts'
import type { Addressee, Message } from './render.ts'

const summaryMax = 1024
const keyMax = 255
/** A hash in decimal, and the mark before it. */
const hashMax = 11
const severityThere: Record<Severity, 'critical' | 'error' | 'warning' | 'info'> = { critical: 'critical', major: 'error', minor: 'warning', warning: 'info' }

/** One event for PagerDuty's Events API v2: an alarm is an alert whose key is the alarm's identity, anything else a change, which pages nobody. */
export function renderPagerDuty(to: Addressee, message: Message): { url: string; body: string } {
  const [event] = message.events
  const body = alarmOf(event!) === null ? changeOf(to, event!) : alertOf(to, event!)
  return { url: alarmOf(event!) === null ? changesUrl(to.target.url) : to.target.url, body: JSON.stringify({ routing_key: to.target.routingKey ?? '', ...body }) }
}

/** Changes have an address of their own beside that of alerts. */
function changesUrl(alertsUrl: string): string {
  const url = new URL(alertsUrl)
  url.pathname = url.pathname.replace(/\/enqueue\/?$/, '/change/enqueue')
  return url.href
}

function alertOf(to: Addressee, event: FleetEvent): Record<string, unknown> {
  const alarm = alarmOf(event)!
  const { title, text, facts } = describeEvent(event, to.fleet)
  const site = inert(alarm.site ?? to.fleet)
  const dedup_key = keyOf(`${to.fleet}/${alarm.site ?? ''}/${alarm.alarmId}/${alarm.entity}`)
  if (!asksForAttention(alarm)) return { event_action: 'resolve', dedup_key }
  if (alarm.change === 'acknowledged') return { event_action: 'acknowledge', dedup_key }
  return {
    event_action: 'trigger', dedup_key, client: `Murmuration ${to.fleet}`,
    payload: {
      summary: cut(`${title}: ${text}`, summaryMax), source: site, severity: severityThere[alarm.severity], timestamp: event.time,
      component: inert(alarm.entity), group: site, class: inert(alarm.name ?? alarm.alarmId), custom_details: Object.fromEntries(facts),
    },
  }
}

function changeOf(to: Addressee, event: FleetEvent): Record<string, unknown> {
  const { title, text, facts } = describeEvent(event, to.fleet)
  return { payload: { summary: cut(text === '' ? title : `${title}: ${text}`, summaryMax), source: to.fleet, timestamp: event.time, custom_details: Object.fromEntries(facts) } }
}

/** An identity as a key that is inert and not too long: what is lost of it is told apart by a hash of all of it. */
function keyOf(identity: string): string {
  const shown = inert(identity, keyMax)
  return shown === identity ? identity : `${cut(shown, keyMax - hashMax)}#${hashOf(identity)}`
}
