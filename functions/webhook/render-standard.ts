import { eventPrefix, type EventBatch, type FleetEvent } from '../../protocol/events.ts'
import type { z } from 'zod'
import { cut, fieldMax } from './inert.ts'
import type { Addressee, Message } from './render.ts'

const detailMax = 8_000

/**
 * CloudEvents 1.0 in its JSON format and a payload of Standard Webhooks in one object: `type`, `timestamp` and `data` are what the one asks for,
 * and `timestamp` is an extension to the other. Several events are the `data` of one of type `murmuration.batch`. Texts are as they came: a program reads them.
 */
export function renderStandard(to: Addressee, message: Message): string {
  const [first] = message.events
  return JSON.stringify(message.events.length === 1 ? withTimestamp(bounded(first!)) : withTimestamp(batchOf(to, message)), (_, value: unknown) => (typeof value === 'string' ? cut(value, fieldMax) : value))
}

const withTimestamp = <E extends { time: string }>(event: E): E & { timestamp: string } => ({ ...event, timestamp: event.time })

function batchOf(to: Addressee, message: Message): Omit<FleetEvent, 'data'> & { data: z.infer<typeof EventBatch> } {
  const time = new Date(message.createdMs).toISOString()
  return {
    specversion: '1.0', id: message.id, source: `murmur/${to.fleet}`, type: `${eventPrefix}batch`, subject: to.fleet, time, datacontenttype: 'application/json',
    data: { events: message.events.map((event) => withTimestamp(bounded(event))) },
  }
}

/** Details that are too long for a message are left out; `GET /v1/audit` has them. */
const bounded = (event: FleetEvent): FleetEvent =>
  'detail' in event.data && JSON.stringify(event.data.detail).length > detailMax ? { ...event, data: { ...event.data, detail: { leftOut: 'too long' } } } : event
