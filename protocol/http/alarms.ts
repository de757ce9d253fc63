import * as z from 'zod'
import { alarmChanges } from '../events.ts'
import { SiteId } from '../ids.ts'
import { limits } from '../limits.ts'
import { presences, severities } from '../states.ts'
import { Span } from '../time.ts'
import { At, PageQuery, contract, page } from './contract.ts'

export const AlarmId = z.string().regex(/^\d{1,4}\.\d{1,4}$/, 'must be group.number, such as 100.003')
/** A site, or `_fleet` for alarms of the fleet as a whole. */
const AlarmSite = z.union([SiteId, z.literal('_fleet')])
/** Databases end a text at NUL. */
const withoutNul = /^[^\0]*$/
const Entity = z.string().min(1).max(limits.alarmEntityMax).regex(withoutNul, 'must not contain NUL')
const Text = z.string().max(limits.reasonLengthMax).regex(withoutNul, 'must not contain NUL')
/** Sites may say ids that no catalogue has: they are asked for as they came. */
const SaidAlarmId = z.string().min(1).max(20).regex(withoutNul, 'must not contain NUL')
const identity = { site: AlarmSite, alarmId: SaidAlarmId, entity: Entity }
const Flag = z.enum(['true', 'false']).transform((text) => text === 'true')

/** An alarm as it stands, or as it last stood. `state` says whether it asks for somebody's attention, and if not why. */
export const AlarmView = z.object({
  site: AlarmSite, alarmId: z.string(), entity: z.string(), severity: z.enum(severities), text: z.string(),
  /** `silenced`: a deployment runs or a node is locked there, and the alarm is of a kind that either brings about. `suppressed`: its site is offline. */
  state: z.enum(['active', 'acknowledged', 'shelved', 'silenced', 'suppressed', 'cleared']),
  source: z.enum(['site', 'controller', 'tool']),
  gating: z.boolean(), flapping: z.boolean(),
  raisedAt: At, changedAt: At, clearedAt: At.nullable(),
  /** When it began by the site's own clock, where that can be right. */
  siteTime: At.nullable(),
  acknowledged: z.object({ at: At, by: z.string(), note: z.string() }).nullable(),
  shelved: z.object({ until: At, by: z.string(), reason: z.string() }).nullable(),
  /** What the catalogue says of it; null for an id that is not in it. */
  catalogue: z.object({ name: z.string(), meaning: z.string(), probableCause: z.string(), repair: z.string() }).nullable(),
})
export type AlarmView = z.infer<typeof AlarmView>

export const AlarmEventView = z.object({ seq: z.int(), at: At, site: AlarmSite, alarmId: z.string(), entity: z.string(), change: z.enum(alarmChanges), severity: z.enum(severities), text: z.string(), silenced: z.boolean(), by: z.string(), note: z.string() })
export type AlarmEventView = z.infer<typeof AlarmEventView>

const counts = z.object({ active: z.int(), acknowledged: z.int(), shelved: z.int(), silenced: z.int() })
export const FleetSummary = z.object({
  sites: z.object({ ...(Object.fromEntries(presences.map((presence) => [presence, z.int()])) as Record<(typeof presences)[number], z.ZodInt>), claimed: z.int() }),
  /** Standing alarms by severity; those of offline sites are among them. */
  alarms: z.object(Object.fromEntries(severities.map((severity) => [severity, counts])) as Record<(typeof severities)[number], typeof counts>),
})
export type FleetSummary = z.infer<typeof FleetSummary>

export const alarmContracts = {
  listAlarms: contract({
    id: 'listAlarms', tag: 'Alarms', method: 'get', path: '/v1/alarms', access: 'viewer', summary: 'Standing alarms that ask for attention, newest first; a page may be short, `next` tells whether there is more',
    query: z.strictObject({
      ...PageQuery, site: AlarmSite.optional(), alarmId: SaidAlarmId.optional(), severity: z.enum(severities).optional(), gating: Flag.optional(), labelSelector: z.string().max(2000).optional(),
      /** Also those that are shelved, silenced, suppressed or acknowledged. */
      all: Flag.optional(),
    }),
    response: page(AlarmView),
  }),
  getAlarm: contract({ id: 'getAlarm', tag: 'Alarms', method: 'get', path: '/v1/alarms/one', access: 'viewer', summary: 'One alarm, standing or lately cleared, with what the catalogue says', query: z.strictObject(identity), response: AlarmView }),
  raiseAlarm: contract({
    id: 'raiseAlarm', tag: 'Alarms', method: 'post', path: '/v1/alarms', access: 'operator', summary: 'Raise an alarm by hand or from another tool; `gating` is what the catalogue says unless it is given',
    body: z.strictObject({ ...identity, alarmId: AlarmId, severity: z.enum(severities), text: Text, gating: z.boolean().optional() }), response: AlarmView, status: 201,
  }),
  clearAlarm: contract({ id: 'clearAlarm', tag: 'Alarms', method: 'post', path: '/v1/alarms/clear', access: 'operator', summary: 'Clear an alarm; a fault that still stands comes back with the next word of its site', body: z.strictObject({ ...identity, reason: Text.default('') }), response: z.object({ cleared: z.boolean() }) }),
  acknowledgeAlarm: contract({ id: 'acknowledgeAlarm', tag: 'Alarms', method: 'post', path: '/v1/alarms/acknowledge', access: 'operator', summary: 'Somebody has seen it: it gates nothing any more, until it is raised anew or gets worse', body: z.strictObject({ ...identity, note: Text.default('') }), response: AlarmView }),
  shelveAlarm: contract({ id: 'shelveAlarm', tag: 'Alarms', method: 'post', path: '/v1/alarms/shelve', access: 'operator', summary: 'Put an alarm aside for a while: it is neither announced nor listed, and gates nothing', body: z.strictObject({ ...identity, duration: Span.pipe(z.int().min(60_000, 'must be at least a minute').max(limits.shelfLifeMs, 'must be at most 90 days')), reason: Text.min(1) }), response: AlarmView }),
  unshelveAlarm: contract({ id: 'unshelveAlarm', tag: 'Alarms', method: 'post', path: '/v1/alarms/unshelve', access: 'operator', summary: 'Take it back from the shelf', body: z.strictObject(identity), response: AlarmView }),
  listAlarmEvents: contract({
    id: 'listAlarmEvents', tag: 'Alarms', method: 'get', path: '/v1/alarm-events', access: 'viewer', summary: 'What happened to alarms, newest first, as far back as history is kept',
    query: z.strictObject({ ...PageQuery, site: AlarmSite.optional(), alarmId: SaidAlarmId.optional(), entity: Entity.optional(), from: At.optional(), to: At.optional() }), response: page(AlarmEventView),
  }),
  getSummary: contract({ id: 'getSummary', tag: 'Alarms', method: 'get', path: '/v1/summary', access: 'viewer', summary: 'The fleet in a few numbers', response: FleetSummary }),
} as const
