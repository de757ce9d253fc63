import { alarmCatalogue, fleetSite } from '../../protocol/alarms.ts'
import { eventPrefix, eventTypes, type EventType, type FleetEvent } from '../../protocol/events.ts'
import { at } from '../../protocol/http/contract.ts'
import type { AlarmEventRow } from '../../db/schema/alarm.ts'
import type { AuditRow } from '../../db/schema/operations.ts'

/** Entries of the audit trail that are events. What is said of alarms comes from their own history, and a test is no event of the fleet. */
const auditTypes: ReadonlySet<string> = new Set(eventTypes.filter((type) => !type.startsWith('alarm.') && type !== 'webhook.test'))

/** What of an entry's detail goes along; a longer one is to be looked up. */
const detailCharactersMax = 4000

const eventOf = (fleet: string, type: EventType, row: { id: string; subject: string; atMs: number }, data: FleetEvent['data']): FleetEvent => ({
  specversion: '1.0', id: row.id, source: `murmur/${fleet}`, type: `${eventPrefix}${type}`, subject: row.subject, time: at(row.atMs), datacontenttype: 'application/json', data,
})

/** A log that came back from a backup counts on from an older number: with the time, two events never have one id. */
const eventId = (log: 'alarm' | 'audit', row: { seq: number; atMs: number }): string => `${log}-${row.seq}-${row.atMs.toString(36)}`

/** An entry of the alarms' history as an event. */
export function alarmEventOf(fleet: string, row: AlarmEventRow): FleetEvent {
  const known = alarmCatalogue.get(row.alarmId)
  return eventOf(fleet, `alarm.${row.change}`, { id: eventId('alarm', row), subject: `alarm/${row.siteId}/${row.alarmId}/${row.entity}`, atMs: row.atMs }, {
    site: row.siteId === fleetSite ? null : row.siteId, alarmId: row.alarmId, name: known?.name ?? null, entity: row.entity, severity: row.severity, text: row.text, gating: row.gating,
    repair: known?.repair ?? null, change: row.change, by: row.actor === '' ? null : row.actor, note: row.note === '' ? null : row.note,
  })
}

/** An entry of the audit trail as an event; null for one that webhooks are not told. */
export function auditEventOf(fleet: string, row: AuditRow): FleetEvent | null {
  if (!auditTypes.has(row.action)) return null
  const detail = JSON.stringify(row.detail).length <= detailCharactersMax ? row.detail : { omitted: 'too long for a message; the audit trail has it' }
  return eventOf(fleet, row.action as EventType, { id: eventId('audit', row), subject: row.entity, atMs: row.atMs }, { site: row.siteId, entity: row.entity, actor: row.actor, action: row.action, why: row.why, detail })
}

/** What the test button sends. */
export const testEventOf = (fleet: string, webhookId: string, message: string, id: string, atMs: number): FleetEvent =>
  eventOf(fleet, 'webhook.test', { id: `test-${id}`, subject: `webhook/${webhookId}`, atMs }, { message })
