import { eventPrefix, type AlarmEventData, type AuditEventData, type FleetEvent } from '../../protocol/events.ts'
import type { z } from 'zod'
import { inert } from './inert.ts'

type AlarmData = z.infer<typeof AlarmEventData>
type AuditData = z.infer<typeof AuditEventData>

/** What an event is about; `null` for one that is about an endpoint only, such as a test. */
export const alarmOf = (event: FleetEvent): AlarmData | null => ('alarmId' in event.data ? event.data : null)
const auditOf = (event: FleetEvent): AuditData | null => ('action' in event.data ? event.data : null)

/** Whether an alarm asks for attention after this event. One on the shelf does not: it is announced anew when it comes off it. */
export const asksForAttention = (alarm: AlarmData): boolean => alarm.change !== 'cleared' && alarm.change !== 'shelved'

/** An event for people, inert: a title in one line, what there is to say about it, and its facts. */
export type Description = { title: string; text: string; facts: [name: string, value: string][] }

export function describeEvent(event: FleetEvent, fleet: string): Description {
  const alarm = alarmOf(event)
  if (alarm !== null) return describeAlarm(alarm, event, fleet)
  const audit = auditOf(event)
  const type = event.type.replace(eventPrefix, '')
  if (audit !== null) {
    const facts = [['Site', audit.site], ['By', audit.actor], ['Time', event.time]] as const
    return { title: inert(`${type}: ${audit.entity}`), text: inert(audit.why), facts: present(facts) }
  }
  return { title: inert(`${type}: ${fleet}`), text: 'message' in event.data ? inert(event.data.message) : '', facts: present([['Time', event.time]]) }
}

function describeAlarm(alarm: AlarmData, event: FleetEvent, fleet: string): Description {
  const where = alarm.site ?? `fleet ${fleet}`
  const facts = [['Site', alarm.site], ['Entity', alarm.entity], ['Alarm', alarm.alarmId], ['What to do', asksForAttention(alarm) ? alarm.repair : null], ['By', alarm.by], ['Note', alarm.note], ['Time', event.time]] as const
  return { title: inert(`${alarm.severity.toUpperCase()} ${alarm.change}: ${alarm.name ?? `alarm ${alarm.alarmId}`} at ${where}`), text: inert(alarm.text), facts: present(facts) }
}

const present = (facts: readonly (readonly [string, string | null])[]): [string, string][] =>
  facts.flatMap(([name, value]) => (value === null || value === '' ? [] : [[name, inert(value)] satisfies [string, string]]))
