import * as z from 'zod'
import { severities } from './states.ts'

/** What happens to an alarm, in the order of its life. */
export const alarmChanges = ['raised', 'changed', 'acknowledged', 'shelved', 'unshelved', 'cleared'] as const
export type AlarmChange = (typeof alarmChanges)[number]

/** What a webhook can be told, by the name that CloudEvents calls `type`, without the prefix. */
export const eventTypes = [
  ...alarmChanges.map((change) => `alarm.${change}` as const),
  'rollout.create', 'rollout.start', 'rollout.pause', 'rollout.resume', 'rollout.complete', 'rollout.abort', 'rollout.aborted', 'wave.open', 'wave.done',
  'deployment.succeeded', 'deployment.failed', 'deployment.rolled-back', 'deployment.timed-out', 'deployment.needs-hands', 'deployment.lose', 'deployment.park',
  'release.available', 'site.created', 'site.enrolled', 'site.removed', 'webhook.test',
] as const
export type EventType = (typeof eventTypes)[number]
export const eventPrefix = 'murmuration.'

/** What of an event is about an alarm. */
export const AlarmEventData = z.object({
  site: z.string().nullable(), alarmId: z.string(), name: z.string().nullable(), entity: z.string(), severity: z.enum(severities), text: z.string(), gating: z.boolean(),
  repair: z.string().nullable(), change: z.enum(alarmChanges), by: z.string().nullable(), note: z.string().nullable(),
})
/** What of an event is about anything else: an entry of the audit trail. */
export const AuditEventData = z.object({ site: z.string().nullable(), entity: z.string(), actor: z.string(), action: z.string(), why: z.string(), detail: z.record(z.string(), z.unknown()) })

/** One event as webhooks carry it: CloudEvents 1.0 in its JSON format, structured mode. `id` is the same whenever and to whomever it is sent. */
export const FleetEvent = z.object({
  specversion: z.literal('1.0'),
  id: z.string(),
  source: z.string(),
  type: z.string(),
  subject: z.string(),
  time: z.iso.datetime(),
  datacontenttype: z.literal('application/json'),
  data: z.union([AlarmEventData, AuditEventData, z.object({ message: z.string() })]),
})
export type FleetEvent = z.infer<typeof FleetEvent>
/** Several events in one message, oldest first: what an endpoint gets while more waits for it than it takes one by one. Its `data`. */
export const EventBatch = z.object({ events: z.array(FleetEvent) })
