import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answerOf } from '../../functions/adapters/memory/memory-http-sender.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { runWebhooks } from '../../functions/webhook/run.ts'
import type { WebhookFilter } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import type { ReportBody, StandingAlarm } from '../../protocol/reports.ts'
import { interleave } from '../support/interleave.ts'
import { addSites } from '../support/practice-fleet.ts'
import { PracticeSite } from '../support/practice-site.ts'
import { startSubscriptions, type Subscriptions } from './webhooks.support.ts'

let fleet: Subscriptions
beforeEach(async () => void (fleet = await startSubscriptions()))
afterEach(() => fleet.close())

const call: Subscriptions['controller']['call'] = (id, options) => fleet.controller.call(id, options)
/** What an endpoint was told, as `type entity severity`. */
const told = (name: string): string[] => fleet.sent(name).flatMap(({ events }) => events.map(({ type, data }) => [type.replace('murmuration.', ''), 'entity' in data ? data.entity : '', 'severity' in data ? data.severity : ''].join(' ').trim()))
const written = async (sql: string, ...args: (string | number)[]): Promise<void> => void (await fleet.controller.db.write([{ sql, args }]))

describe('an event', () => {
  test('is a CloudEvent with what the alarm and the catalogue say, and one message for one event', async () => {
    await fleet.subscribe('chat')
    await fleet.raise({ severity: 'critical', text: '/var is <b>full</b>' })
    await fleet.settle()
    const [message] = fleet.sent()
    expect(message!.events).toEqual([{
      specversion: '1.0', id: expect.stringMatching(/^alarm-1-[0-9a-z]+$/), source: 'murmur/practice', type: 'murmuration.alarm.raised', subject: 'alarm/kiel/100.003/node=a.filesystem=/var',
      time: '2026-06-01T12:00:00.000Z', datacontenttype: 'application/json',
      data: { site: 'kiel', alarmId: '100.003', name: 'Filesystem full', entity: 'node=a.filesystem=/var', severity: 'critical', text: '/var is <b>full</b>', gating: true, repair: expect.stringContaining('Remove what is not needed'), change: 'raised', by: 'token:admin', note: null },
    }])
  })

  test('of an id that no catalogue knows is told all the same', async () => {
    await fleet.subscribe('chat')
    await fleet.raise({ alarmId: '999.999' })
    await fleet.settle()
    expect(fleet.sent()[0]!.events[0]!.data).toMatchObject({ alarmId: '999.999', name: null, repair: null })
  })

  test('of the audit trail has its entry, and has it again under the same id for every endpoint', async () => {
    await fleet.subscribe('chat')
    await fleet.subscribe('pager')
    await call('createSite', { body: { id: 'emden' } })
    await fleet.settle()
    const [chat, pager] = [fleet.sent('chat'), fleet.sent('pager')]
    expect(chat[0]!.events[0]).toMatchObject({ type: 'murmuration.site.created', subject: 'site/emden', data: { site: 'emden', actor: 'token:admin', action: 'site.created' } })
    expect([chat.length, pager[0]!.events[0]!.id, pager[0]!.id === chat[0]!.id]).toEqual([1, chat[0]!.events[0]!.id, false])
  })

  test('with more detail than a message holds names the audit trail instead', async () => {
    await fleet.subscribe('chat')
    await call('createSite', { body: { id: 'emden', labels: Object.fromEntries(Array.from({ length: limits.labelsMax }, (_, i) => [`label-${i}`, 'v'.repeat(63)])) } })
    await fleet.settle()
    expect(fleet.sent()[0]!.events[0]!.data).toMatchObject({ detail: { omitted: expect.any(String) } })
  })

  test('that was before the webhook is not told', async () => {
    await fleet.raise()
    await fleet.subscribe('chat')
    await fleet.clear()
    await fleet.settle()
    expect(told('chat')).toEqual(['alarm.cleared node=a.filesystem=/var major'])
  })

  test('of what is done by hand is told once: the audit trail has it, too', async () => {
    await fleet.subscribe('chat')
    await fleet.raise()
    await call('acknowledgeAlarm', { body: { ...fleet.identity({}), note: 'on my way' } })
    await fleet.clear()
    await fleet.settle()
    expect(told('chat').map((each) => each.split(' ')[0])).toEqual(['alarm.raised', 'alarm.acknowledged', 'alarm.cleared'])
    expect(fleet.sent()[1]!.events[0]!.data).toMatchObject({ by: 'token:admin', note: 'on my way' })
  })
})

describe('a report', () => {
  /** Whether it woke those who tell, and what they told. */
  async function say(site: PracticeSite, body: ReportBody): Promise<{ woken: boolean; told: string[] }> {
    const before = told('chat').length
    const work: Promise<unknown>[] = []
    await receiveReports({ ...fleet.controller.context(), background: (begun) => void work.push(begun) }, [await site.message(body)])
    const woken = work.length > 0
    while (work.length > 0) await work.shift()
    await fleet.settle()
    return { woken, told: told('chat').slice(before) }
  }
  const block = (alarms: StandingAlarm[]): ReportBody => ({ kind: 'metrics', block: { startMs: fleet.controller.clock.nowMs(), stepS: 60, nodes: [] }, alarms })
  const full: StandingAlarm = { alarmId: '100.003', entity: '/var', severity: 'major', text: 'full', sinceMs: 1 }

  test('that lists what stands is told of at once, however the alarm was said; one that says nothing new wakes nobody', async () => {
    await addSites(fleet.controller.db, [{ id: 'emden' }])
    const site = new PracticeSite(fleet.controller, 'emden')
    await fleet.subscribe('chat')
    await site.connect()
    await fleet.run()
    expect(await say(site, block([]))).toEqual({ woken: false, told: [] })
    expect(await say(site, block([full]))).toEqual({ woken: true, told: ['alarm.raised /var major'] })
    expect(await say(site, block([full]))).toEqual({ woken: false, told: [] })
    expect(await say(site, block([]))).toEqual({ woken: true, told: ['alarm.cleared /var major'] })
    expect(await say(site, { kind: 'alarm', alarmId: '120.002', entity: 'check=a', raised: true, severity: 'minor', text: '' })).toEqual({ woken: true, told: ['alarm.raised check=a minor'] })
  })

  test('wakes nobody for a webhook that is disabled, or where there is none', async () => {
    await addSites(fleet.controller.db, [{ id: 'emden' }])
    const site = new PracticeSite(fleet.controller, 'emden')
    await site.connect()
    expect(await say(site, block([full]))).toEqual({ woken: false, told: [] })
    const id = await fleet.subscribe('chat')
    await call('updateWebhook', { params: { webhook: id }, body: { state: 'disabled' } })
    await fleet.run()
    expect(await say(site, block([]))).toEqual({ woken: false, told: [] })
  })
})

describe('what nobody wants to hear is not told', () => {
  test('while an alarm lies on the shelf; when it comes off, it is', async () => {
    await fleet.subscribe('chat')
    await fleet.raise()
    await call('shelveAlarm', { body: { ...fleet.identity({}), duration: '1h', reason: 'known' } })
    await fleet.raise({ severity: 'critical' })
    await call('unshelveAlarm', { body: fleet.identity({}) })
    await fleet.settle()
    expect(told('chat')).toEqual(['alarm.raised node=a.filesystem=/var major', 'alarm.shelved node=a.filesystem=/var major', 'alarm.unshelved node=a.filesystem=/var critical'])
  })

  test('while it is silent; when it has stayed, it is', async () => {
    await fleet.subscribe('chat')
    const silent = (entity: string) => written(`INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq, silenced) VALUES ('kiel', '120.001', ?, 'major', '', 0, 1, NULL, 0, 1)`, entity)
    await silent('stays')
    await silent('goes')
    await written(`UPDATE alarm SET cleared_ms = 2, silenced = 0 WHERE entity = 'goes'`)
    await fleet.run()
    expect(told('chat')).toEqual([])
    await written(`UPDATE alarm SET silenced = 0 WHERE entity = 'stays'`)
    await fleet.run()
    expect(told('chat')).toEqual(['alarm.raised stays major'])
  })
})

describe('a subscription', () => {
  const cases: [string, WebhookFilter, string[]][] = [
    ['everything', {}, ['alarm.raised a critical', 'alarm.raised b minor', 'alarm.raised c major', 'alarm.cleared a critical', 'site.created site/emden']],
    ['one type', { types: ['alarm.cleared'] }, ['alarm.cleared a critical']],
    ['types by their beginning', { types: ['site.*', 'alarm.cleared'] }, ['alarm.cleared a critical', 'site.created site/emden']],
    ['alarms that are bad enough, and what is no alarm', { severity: 'major' }, ['alarm.raised a critical', 'alarm.raised c major', 'alarm.cleared a critical', 'site.created site/emden']],
    ['sites by their labels', { labelSelector: 'region in (west,south)' }, ['alarm.raised c major']],
    ['sites without a label', { labelSelector: '!region' }, ['site.created site/emden']],
    ['a release by name', { release: 'shop' }, ['alarm.raised a critical', 'alarm.raised b minor', 'alarm.cleared a critical']],
    ['a release by version', { release: 'shop@1.5.0' }, ['alarm.raised a critical', 'alarm.raised b minor', 'alarm.cleared a critical']],
    ['another version', { release: 'shop@1.6.0' }, []],
    ['a name that only begins alike', { release: 'sho' }, []],
    ['all of it at once', { types: ['alarm.*'], severity: 'critical', labelSelector: 'region=north', release: 'shop' }, ['alarm.raised a critical', 'alarm.cleared a critical']],
  ]

  test.each(cases)('to %s gets that and nothing else', async (_, filter, expected) => {
    const runs = (id: string) => written('UPDATE site SET running = ?, previous = ? WHERE id = ?', JSON.stringify({ id: `shop@${id}`, digest: '0' }), JSON.stringify({ id: 'shop@1.5.0', digest: '0' }), 'kiel')
    await runs('1.5.0')
    await fleet.subscribe('chat', { filter })
    await fleet.raise({ entity: 'a', severity: 'critical' })
    await fleet.raise({ entity: 'b', severity: 'minor' })
    await fleet.raise({ entity: 'c', severity: 'major', site: 'husum' })
    await fleet.settle()
    await runs('1.4.0')
    await fleet.clear({ entity: 'a' })
    await fleet.settle()
    await call('createSite', { body: { id: 'emden' } })
    await fleet.settle()
    expect(told('chat').sort()).toEqual(expected.sort())
  })

  test('to what is critical hears the end of what was, however mild it has become, and nothing of what never was', async () => {
    await fleet.subscribe('pager', { filter: { severity: 'critical' } })
    for (const severity of ['minor', 'critical', 'major', 'minor']) await fleet.raise({ entity: 'was', severity })
    for (const severity of ['minor', 'major', 'minor']) await fleet.raise({ entity: 'never', severity })
    for (const entity of ['was', 'never']) await fleet.clear({ entity })
    // raised anew, it begins anew
    await fleet.raise({ entity: 'was', severity: 'minor' })
    await fleet.clear({ entity: 'was' })
    await fleet.settle()
    expect(told('pager')).toEqual(['alarm.changed was critical', 'alarm.changed was major', 'alarm.changed was minor', 'alarm.cleared was minor'])
  })

  test('that is disabled misses what happens meanwhile', async () => {
    const id = await fleet.subscribe('chat')
    const set = (state: string) => call('updateWebhook', { params: { webhook: id }, body: { state } })
    await set('disabled')
    await fleet.raise({ entity: 'unheard' })
    await set('enabled')
    await fleet.raise({ entity: 'heard' })
    await fleet.settle()
    expect(told('chat')).toEqual(['alarm.raised heard major'])
  })
})

describe('a storm of ten thousand events in a minute (F67)', () => {
  test('is told whole in few messages that stay small, in order, and delays nobody else', async () => {
    const slow = await fleet.subscribe('slow')
    const quick = await fleet.subscribe('quick', { filter: { severity: 'critical' } })
    let busy = 0
    fleet.answers((name) => answerOf(name === 'slow' && busy++ % 3 === 0 ? 503 : 200))
    for (let second = 0; second < 60; second++) {
      await fleet.storm(second * 167, 167)
      if (second % 20 === 0) await fleet.raise({ entity: `other-${second}`, severity: 'critical' })
      await fleet.pass(1000, 1000)
      if (second % 20 === 0) expect(told('quick')).toHaveLength(second / 20 + 1)
    }
    await fleet.pass(2 * 3_600_000, 60_000)
    const log = await fleet.log(slow)
    expect([new Set(log.map(({ state }) => state)), (await fleet.log(quick)).length]).toEqual([new Set(['delivered']), 3])
    const events = log.flatMap((row) => row.events)
    expect([events.length, new Set(events.map(({ id }) => id)).size]).toEqual([60 * 167 + 3, 60 * 167 + 3])
    expect(events.map(({ id }) => Number(id.split('-')[1]))).toEqual(events.map((_, i) => i + 1))
    expect(log.length).toBeLessThan(1000)
    expect(Math.max(...fleet.controller.http.requests.map(({ body }) => Buffer.byteLength(body)))).toBeLessThanOrEqual(limits.webhookBodyBytesMax)
  }, 60_000)

  test('leaves PagerDuty the newest state of each alarm that it was not told of yet', async () => {
    const id = await fleet.subscribe('pager', { format: 'pagerduty', routingKey: 'R0UT1NG', perSecond: 0.1 })
    for (let round = 0; round < 30; round++) {
      for (const entity of ['a', 'b']) await (round % 2 === 0 ? fleet.raise({ entity }) : fleet.clear({ entity }))
      await fleet.settle()
    }
    const log = await fleet.log(id)
    expect(log.map(({ state, events }) => [state, events.map(({ type, subject }) => `${type} ${subject.split('/').at(-1)}`)])).toEqual([
      ['delivered', ['murmuration.alarm.raised a']], ['waiting', ['murmuration.alarm.cleared b']], ['waiting', ['murmuration.alarm.cleared a']],
    ])
  })
})

describe('reading the logs', () => {
  const another = () => {
    const ctx = fleet.controller.context()
    return { ...ctx, db: { ...ctx.db }, background: () => undefined }
  }

  test('in two processes at once makes each message once (F48)', async () => {
    const ids = [await fleet.subscribe('chat'), await fleet.subscribe('pager')]
    await fleet.storm(0, 1700)
    await Promise.all(Array.from({ length: 5 }, () => runWebhooks(another())))
    for (const id of ids) {
      const seqs = (await fleet.log(id)).flatMap(({ events }) => events.map((event) => Number(event.id.split('-')[1])))
      expect(seqs).toEqual(Array.from({ length: 1700 }, (_, i) => i + 1))
    }
  })

  test('adds nothing to a message that somebody has begun to send meanwhile', async () => {
    const id = await fleet.subscribe('chat', { perSecond: 0.1 })
    await fleet.storm(0, 60)
    await fleet.run()
    const before = (await fleet.log(id)).at(-1)!
    await fleet.storm(60, 5)
    await fleet.run(interleave(fleet.controller.context(), () => written('UPDATE delivery SET leased_until_ms = ? WHERE id = ?', fleet.controller.clock.nowMs() + 60_000, before.id)))
    const log = await fleet.log(id)
    expect(log.find((row) => row.id === before.id)!.events).toEqual(before.events)
    expect([log.flatMap(({ events }) => events).length, log.at(-1)!.events.length]).toEqual([65, 5])
  })

  test('and dying before the batch has landed loses nothing', async () => {
    const id = await fleet.subscribe('chat')
    await fleet.storm(0, 3)
    const dying = another()
    dying.db.write = () => Promise.reject(new Error('killed'))
    await runWebhooks(dying)
    expect(await fleet.log(id)).toEqual([])
    await fleet.run()
    expect((await fleet.log(id)).flatMap(({ events }) => events)).toHaveLength(3)
  })

  test('goes on for the others when one endpoint cannot be written', async () => {
    const [broken, fine] = [await fleet.subscribe('broken'), await fleet.subscribe('fine')]
    await written(`CREATE TRIGGER broken BEFORE INSERT ON delivery WHEN new.webhook_id = '${broken}' BEGIN SELECT RAISE(ABORT, 'broken'); END`)
    await fleet.storm(0, 700)
    await fleet.run()
    await fleet.storm(700, 700)
    await fleet.run()
    expect((await fleet.log(fine)).flatMap(({ events }) => events)).toHaveLength(1400)
    await written('DROP TRIGGER broken')
    await fleet.run()
    expect((await fleet.log(broken)).flatMap(({ events }) => events)).toHaveLength(1400)
  })

  test('writes nothing where nothing is new, and asks once', async () => {
    await fleet.subscribe('chat')
    await fleet.raise()
    await fleet.settle()
    const calls: string[] = []
    const ctx = fleet.controller.context()
    const db = { ...ctx.db, get orm() { return calls.push('read'), ctx.db.orm }, write: (...args: Parameters<typeof ctx.db.write>) => (calls.push('write'), ctx.db.write(...args)) }
    await fleet.run({ ...ctx, db })
    expect(calls).toEqual(['read'])
  })

  test('on Workers ends after so many requests to others, and the next runs go on', async () => {
    const id = await fleet.subscribe('chat', { perSecond: 100 })
    await fleet.storm(0, 3000)
    const ctx = fleet.controller.context()
    const worker = { ...ctx, config: { ...ctx.config, host: 'worker' as const } }
    const counts: number[] = []
    while ((await fleet.log(id)).length === 0 || (await fleet.log(id)).some(({ state }) => state === 'waiting')) {
      await fleet.run(worker)
      counts.push(fleet.sent().length)
      fleet.controller.clock.advance(1000)
    }
    expect([counts[0], fleet.sent().flatMap(({ events }) => events).length]).toEqual([83, 3000])
  })

  test('on Workers makes messages for many endpoints over several runs, each of so many requests', async () => {
    await fleet.subscribe('chat', { filter: { types: ['alarm.*'] } })
    const asked = async (sql: string, column: string) => (await fleet.controller.db.write([{ sql, args: [] }]))[0]!.rows.map((row) => row[column])
    const columns = (await asked("SELECT name FROM pragma_table_info('webhook') WHERE name <> 'id'", 'name')).join(', ')
    // nothing is sent to the copies: their targets are sealed for the first
    await written(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 79) INSERT INTO webhook (id, ${columns}) SELECT id || i, ${columns} FROM webhook, n`)
    await fleet.storm(0, 1500)
    const ctx = fleet.controller.context()
    const writes: number[] = []
    const db = { ...ctx.db, get orm() { return ctx.db.orm }, write: (...args: Parameters<typeof ctx.db.write>) => (writes[writes.length - 1]!++, ctx.db.write(...args)) }
    const behind = () => asked('SELECT id FROM webhook WHERE alarm_seq < (SELECT max(seq) FROM alarm_event)', 'id')
    while ((await behind()).length > 0 && writes.push(0) < 10) await fleet.run({ ...ctx, db, config: { ...ctx.config, host: 'worker' as const } })
    expect([writes.length, Math.max(...writes) < 250]).toEqual([2, true])
  }, 60_000)
})
