import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { groupsOf, renderMessage } from '../../functions/webhook/render.ts'
import { FleetEvent, type AlarmChange } from '../../protocol/events.ts'
import { webhookFormats, type WebhookFormat } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import { severities } from '../../protocol/states.ts'

const bytesOf = (text: string): number => Buffer.byteLength(text)
type AlarmData = Extract<FleetEvent['data'], { alarmId: string }>

const time = '2026-06-01T12:00:00.000Z'
const alarmEvent = (change: AlarmChange, data: Partial<AlarmData> = {}, event: Partial<FleetEvent> = {}): FleetEvent => ({
  specversion: '1.0', id: 'alarm-17', source: 'murmur/practice', type: `murmuration.alarm.${change}`, subject: 'berlin/100.003/node=a.filesystem=/', time, datacontenttype: 'application/json',
  data: { site: 'berlin', alarmId: '100.003', name: 'Filesystem full', entity: 'node=a.filesystem=/', severity: 'major', text: '92 % of / is used', gating: false, repair: 'Remove what is not needed', change, by: null, note: null, ...data }, ...event,
})
const auditEvent = (more: Partial<Extract<FleetEvent['data'], { action: string }>> = {}): FleetEvent => ({
  specversion: '1.0', id: 'audit-4', source: 'murmur/practice', type: 'murmuration.rollout.pause', subject: 'ro_1', time, datacontenttype: 'application/json',
  data: { site: null, entity: 'rollout/ro_1', actor: 'token:ada', action: 'rollout.pause', why: 'too many failed', detail: { failed: 3 }, ...more },
})
const testEvent = (message = 'a test'): FleetEvent => ({ specversion: '1.0', id: 'test-1', source: 'murmur/practice', type: 'murmuration.webhook.test', subject: 'wh_1', time, datacontenttype: 'application/json', data: { message } })

const target = { url: 'https://hooks.example.com/in/x', routingKey: 'R0UT1NGKEY0000000000000000000000' }
const render = (format: WebhookFormat, events: readonly FleetEvent[], to: Partial<typeof target> = {}) => {
  const rendered = renderMessage({ format, target: { ...target, ...to }, fleet: 'practice' }, { id: 'wd_1', events, createdMs: Date.parse(time) })
  return { ...rendered, json: JSON.parse(rendered.body) }
}

// What the vendors publish of their formats, as far as it is used here: strict, so that what they do not know is found.
const CloudEvent = z.strictObject({
  specversion: z.literal('1.0'), id: z.string().min(1), source: z.string().min(1), type: z.string().regex(/^[a-z0-9.-]+$/), subject: z.string().min(1), time: z.iso.datetime(), datacontenttype: z.literal('application/json'),
  timestamp: z.iso.datetime(), data: z.record(z.string(), z.unknown()),
})
const SlackText = (max: number) => z.strictObject({ type: z.literal('plain_text'), emoji: z.literal(false), text: z.string().min(1).max(max) })
const SlackMessage = z.strictObject({
  text: z.string().min(1).max(4000), unfurl_links: z.literal(false), unfurl_media: z.literal(false),
  blocks: z.array(z.discriminatedUnion('type', [z.strictObject({ type: z.literal('header'), text: SlackText(150) }), z.strictObject({ type: z.literal('section'), text: SlackText(3000) })])).min(1).max(50),
})
const TeamsMessage = z.strictObject({
  type: z.literal('message'),
  attachments: z.tuple([z.strictObject({
    contentType: z.literal('application/vnd.microsoft.card.adaptive'), contentUrl: z.null(),
    content: z.strictObject({
      $schema: z.literal('http://adaptivecards.io/schemas/adaptive-card.json'), type: z.literal('AdaptiveCard'), version: z.enum(['1.2', '1.3', '1.4', '1.5']), msteams: z.strictObject({ width: z.literal('Full') }),
      body: z.array(z.strictObject({ type: z.literal('RichTextBlock'), inlines: z.array(z.strictObject({ type: z.literal('TextRun'), text: z.string().min(1), weight: z.enum(['Default', 'Bolder', 'Lighter']) })).min(1) })).min(1),
    }),
  })]),
})
const RoutingKey = z.string().length(32)
const PagerDutyPayload = z.strictObject({ summary: z.string().min(1).max(1024), source: z.string().min(1), severity: z.enum(['critical', 'error', 'warning', 'info']), timestamp: z.iso.datetime(), component: z.string(), group: z.string(), class: z.string(), custom_details: z.record(z.string(), z.string()) })
const PagerDutyEvent = z.discriminatedUnion('event_action', [
  z.strictObject({ routing_key: RoutingKey, event_action: z.literal('trigger'), dedup_key: z.string().min(1).max(255), client: z.string(), payload: PagerDutyPayload }),
  z.strictObject({ routing_key: RoutingKey, event_action: z.literal('acknowledge'), dedup_key: z.string().min(1).max(255) }),
  z.strictObject({ routing_key: RoutingKey, event_action: z.literal('resolve'), dedup_key: z.string().min(1).max(255) }),
])
const PagerDutyChange = z.strictObject({ routing_key: RoutingKey, payload: z.strictObject({ summary: z.string().min(1).max(1024), source: z.string(), timestamp: z.iso.datetime(), custom_details: z.record(z.string(), z.string()) }) })
const LabelSet = z.record(z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/), z.string())
const PostableAlerts = z.array(z.strictObject({ labels: LabelSet.refine((labels) => labels['alertname'] !== undefined), annotations: LabelSet, startsAt: z.iso.datetime().optional(), endsAt: z.iso.datetime() }).refine(({ startsAt, endsAt }) => startsAt === undefined || startsAt <= endsAt))

const schemas: Record<WebhookFormat, z.ZodType> = { standard: CloudEvent, slack: SlackMessage, teams: TeamsMessage, pagerduty: z.union([PagerDutyEvent, PagerDutyChange]), alertmanager: PostableAlerts }
const changes = ['raised', 'changed', 'acknowledged', 'shelved', 'unshelved', 'cleared'] as const

describe.each(webhookFormats)('the %s format', (format) => {
  const check = (events: readonly FleetEvent[]) => {
    const rendered = render(format, events)
    expect(schemas[format].safeParse(rendered.json).error).toBeUndefined()
    expect(rendered.headers).toEqual({ 'content-type': 'application/json' })
    return rendered
  }

  test('is what its vendor takes, for every event', () => {
    for (const change of changes) for (const severity of severities) check([alarmEvent(change, { severity, by: 'token:ada', note: 'seen' })])
    check([alarmEvent('raised', { site: null, name: null, repair: null, text: '' })])
    check([auditEvent()])
    check([testEvent()])
  })

  test('is that too for as many events as fit into one message', () => {
    const { json } = check(Array.from({ length: groupsOf(format) }, (_, i) => alarmEvent(i % 2 === 0 ? 'raised' : 'cleared', { entity: `node=n${i >> 1}` }, { id: `alarm-${i}` })))
    expect(JSON.stringify(json)).toContain('node=n0')
  })

  test('stays small and whole, whatever a site sends', () => {
    const megabyte = '\u{1f525}<&>"\\'.repeat(150_000)
    const { body } = check([alarmEvent('raised', { site: megabyte, entity: megabyte, text: megabyte, name: megabyte, repair: megabyte, by: megabyte, note: megabyte })])
    expect(bytesOf(body)).toBeLessThan(64 * 1024)
    check([auditEvent({ entity: megabyte, why: megabyte, detail: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key-${i}`, megabyte.slice(0, 100)])) })])
    check([testEvent(megabyte)])
    expect(body.isWellFormed()).toBe(true)
  })

  test('carries a full load of the longest texts that the protocol lets through, within what the vendor takes', () => {
    const [text, entity] = ['\u4e16'.repeat(limits.reasonLengthMax), `node=${'\u4e16'.repeat(limits.alarmEntityMax - 5)}`]
    const { body } = check(Array.from({ length: groupsOf(format) }, (_, i) => alarmEvent('raised', { text, note: text, entity: `${entity.slice(0, -3)}${i}` })))
    const most: Record<WebhookFormat, number> = { standard: 256, slack: 128, teams: 28, pagerduty: 512, alertmanager: 256 }
    expect(bytesOf(body)).toBeLessThan(most[format] * 1024)
  })
})

describe('F71: hostile text', () => {
  const hostile = '\u001b[2J\u001b]0;owned\u0007<script>alert(1)</script> \u202etxt.exe <!channel> <https://evil.example|click> @here *bold* [x](https://evil.example) {{DATE(2026-01-01)}}\r\n\u2028\ud800\u200b<at>all</at>'
  const everywhere = alarmEvent('raised', { site: hostile, entity: hostile, text: hostile, name: hostile, repair: hostile, by: hostile, note: hostile, alarmId: hostile })

  test.each(webhookFormats.filter((format) => format !== 'standard'))('is inert in what people read in %s: nothing that terminals obey, and nothing that is not seen', (format) => {
    for (const event of [everywhere, auditEvent({ why: hostile, actor: hostile, entity: hostile }), testEvent(hostile)]) {
      const strings: string[] = []
      JSON.parse(render(format, [event]).body, (_, value: unknown) => (typeof value === 'string' && strings.push(value), value))
      for (const text of strings) expect(text.replaceAll('\n', '').replaceAll('@\u200b', '@')).not.toMatch(/\p{Cc}|\p{Cs}|[\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b]/u)
    }
  })

  test('calls nobody and links nowhere in Slack', () => {
    const { body } = render('slack', [everywhere])
    expect(body).not.toMatch(/<|>|@(?:here|channel|everyone)|mrkdwn/)
    expect(body).toContain('&lt;!channel&gt;')
  })

  test('is no Markdown and no template in Teams', () => {
    const { body, json } = render('teams', [everywhere])
    expect(body).not.toMatch(/"TextBlock"|FactSet|\{\{/)
    expect(json.attachments[0].content.msteams).not.toHaveProperty('entities')
  })

  test('comes as it was to programs, in JSON that no page takes for more', () => {
    const { json } = render('standard', [everywhere])
    expect(json.data.text).toBe(hostile)
  })
})

describe('the standard format', () => {
  test('is one event as CloudEvents and Standard Webhooks both have it', () => {
    const { json, url } = render('standard', [alarmEvent('raised')])
    expect(url).toBe(target.url)
    expect(json).toEqual({ ...alarmEvent('raised'), timestamp: time })
    expect(FleetEvent.safeParse(json).success).toBe(true)
  })

  test('is a batch for several, each of them whole and in order', () => {
    const events = [alarmEvent('raised'), alarmEvent('cleared', {}, { id: 'alarm-18' })]
    const { json } = render('standard', events)
    expect(json).toMatchObject({ id: 'wd_1', type: 'murmuration.batch', source: 'murmur/practice', subject: 'practice', time, timestamp: time })
    expect(json.data.events.map((event: { id: string }) => event.id)).toEqual(['alarm-17', 'alarm-18'])
    for (const event of json.data.events) expect(CloudEvent.safeParse(event).error).toBeUndefined()
  })
})

describe('the PagerDuty format', () => {
  test('triggers, acknowledges and resolves one alert per alarm', () => {
    const actions = changes.map((change) => render('pagerduty', [alarmEvent(change)]).json)
    expect(actions.map((each) => each.event_action)).toEqual(['trigger', 'trigger', 'acknowledge', 'resolve', 'trigger', 'resolve'])
    expect(new Set(actions.map((each) => each.dedup_key)).size).toBe(1)
    expect(render('pagerduty', [alarmEvent('raised', { entity: 'node=b' })]).json.dedup_key).not.toBe(actions[0].dedup_key)
    expect(severities.map((severity) => render('pagerduty', [alarmEvent('raised', { severity })]).json.payload.severity)).toEqual(['critical', 'error', 'warning', 'info'])
  })

  test('keeps alarms apart whose identities are too long for a key', () => {
    const long = (last: string) => render('pagerduty', [alarmEvent('raised', { site: 's'.repeat(63), entity: 'x'.repeat(199) + last })]).json.dedup_key
    expect(long('a').length).toBeLessThanOrEqual(255)
    expect(long('a')).not.toBe(long('b'))
    expect(long('a')).toBe(long('a'))
    expect(render('pagerduty', [alarmEvent('raised', { entity: 'node=a\u0007' })]).json.dedup_key).not.toBe(render('pagerduty', [alarmEvent('raised', { entity: 'node=a' })]).json.dedup_key)
  })

  test('tells of anything else as a change, which pages nobody', () => {
    const eu = { url: 'https://events.eu.pagerduty.com/v2/enqueue' }
    expect(render('pagerduty', [alarmEvent('raised')], eu).url).toBe('https://events.eu.pagerduty.com/v2/enqueue')
    for (const event of [auditEvent(), testEvent()]) {
      const { url, json } = render('pagerduty', [event], eu)
      expect(url).toBe('https://events.eu.pagerduty.com/v2/change/enqueue')
      expect(PagerDutyChange.safeParse(json).error).toBeUndefined()
    }
  })
})

describe('the Alertmanager format', () => {
  type Alert = z.infer<typeof PostableAlerts>[number]
  const alerts = (events: readonly FleetEvent[], url?: string): Alert[] => render('alertmanager', events, url === undefined ? {} : { url }).json
  const standing = (all: Alert[]) => all.filter(({ endsAt }) => endsAt > '2026-07')

  test('is sent to the API of whatever address is given', () => {
    for (const url of ['https://am.example', 'https://am.example/', 'https://am.example/api/v2/alerts']) expect(render('alertmanager', [alarmEvent('raised')], { url }).url).toBe('https://am.example/api/v2/alerts')
    expect(render('alertmanager', [alarmEvent('raised')], { url: 'https://am.example/prefix?x=1' }).url).toBe('https://am.example/prefix/api/v2/alerts?x=1')
  })

  test('has an alert that stands until the alarm clears, though nobody repeats it, and ends with the same labels', () => {
    const [raised] = alerts([alarmEvent('raised')])
    const [cleared] = alerts([alarmEvent('cleared', {}, { time: '2026-06-01T13:00:00.000Z' })])
    expect(raised!.labels).toEqual({ alertname: 'Filesystem full', fleet: 'practice', site: 'berlin', alarm_id: '100.003', entity: 'node=a.filesystem=/', severity: 'major' })
    expect(standing([raised!])).toHaveLength(1)
    expect(cleared).toMatchObject({ labels: raised!.labels, endsAt: '2026-06-01T13:00:00.000Z' })
    expect(standing(alerts([alarmEvent('shelved')]))).toEqual([])
    expect(standing(alerts([alarmEvent('unshelved')]))).toHaveLength(1)
    expect(alerts([alarmEvent('acknowledged', { by: 'token:ada' })])[0]!.annotations).toMatchObject({ acknowledged_by: 'token:ada' })
  })

  test('ends the alerts of the other severities when the severity changes', () => {
    const all = alerts([alarmEvent('changed', { severity: 'critical' })])
    expect(standing(all).map(({ labels }) => labels['severity'])).toEqual(['critical'])
    expect(all.map(({ labels }) => labels['severity']).sort()).toEqual([...severities].sort())
  })

  test('has the newest state of each alarm, of which one message tells several times', () => {
    const all = alerts([alarmEvent('raised', { severity: 'minor' }), alarmEvent('changed', { severity: 'critical' }), alarmEvent('raised', { entity: 'node=b' }), alarmEvent('cleared', { severity: 'critical' })])
    expect(standing(all).map(({ labels }) => labels['entity'])).toEqual(['node=b'])
    expect(new Set(all.map(({ labels }) => JSON.stringify(labels))).size).toBe(all.length)
  })

  test('has anything else as an alert that ends by itself', () => {
    expect(alerts([auditEvent()])).toEqual([expect.objectContaining({ labels: { alertname: 'murmuration.rollout.pause', fleet: 'practice', site: '', entity: 'ro_1', severity: 'info' }, startsAt: time, endsAt: '2026-06-01T12:05:00.000Z' })])
  })
})
