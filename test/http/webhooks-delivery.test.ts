import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answerOf } from '../../functions/adapters/memory/memory-http-sender.ts'
import { expireDeliveries } from '../../functions/webhook/expire-deliveries.ts'
import { retryDelayMs } from '../../functions/webhook/retry-delay.ts'
import { runWebhooks } from '../../functions/webhook/run.ts'
import { limits } from '../../protocol/limits.ts'
import { startSubscriptions, type Subscriptions } from './webhooks.support.ts'

let fleet: Subscriptions
beforeEach(async () => void (fleet = await startSubscriptions()))
afterEach(() => fleet.close())

const dayMs = 86_400_000
const minuteMs = 60_000
const entitiesOf = (messages: ReturnType<Subscriptions['sent']>): string[] => messages.flatMap(({ events }) => events.map((event) => `${event.type.replace('murmuration.alarm.', '')} ${'entity' in event.data ? event.data.entity : ''}`))
const alarmOf = async (id: string) => (await fleet.controller.call('listAlarms', { query: { site: '_fleet', all: 'true' } })).body.items.find(({ entity }) => entity === `webhook=${id}`)

describe('a message that is not taken', () => {
  test('is tried again under the same id, each time after a jittered and longer while, for three days; then it is dead and can be replayed (F65)', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(500))
    await fleet.raise()
    await fleet.settle()
    const times = [fleet.controller.clock.nowMs()]
    for (let [row] = await fleet.log(id); row!.state === 'waiting'; [row] = await fleet.log(id)) {
      fleet.controller.clock.advance(row!.dueMs - fleet.controller.clock.nowMs())
      await fleet.run()
      times.push(fleet.controller.clock.nowMs())
    }
    const [row] = await fleet.log(id)
    const delays = times.slice(1).map((time, i) => time - times[i]!)
    expect(row).toMatchObject({ state: 'dead', attempts: times.length })
    expect(delays.slice(0, -1)).toEqual(delays.slice(0, -1).map((_, i) => retryDelayMs(row!.id, i + 1)))
    expect(times.at(-1)! - times[0]!).toBe(limits.webhookRetryForMs)
    expect(delays.every((delay, i) => delay > 0 && delay <= limits.webhookRetryMs[Math.min(i, limits.webhookRetryMs.length - 1)]!)).toBe(true)
    expect(new Set(fleet.sent().map((message) => message.id)).size).toBe(1)
    expect(row!.log).toHaveLength(5)

    fleet.answers(() => answerOf(200))
    await fleet.controller.call('replayDeliveries', { params: { webhook: id }, body: { delivery: row!.id } })
    await fleet.settle()
    const [first, last] = [fleet.sent().at(0)!, fleet.sent().at(-1)!]
    expect([last.events[0]!.id, last.id === first.id, (await fleet.log(id))[1]]).toEqual([first.events[0]!.id, false, expect.objectContaining({ state: 'delivered', replayOf: row!.id })])
  })

  test('of an endpoint that was away for three days goes out in the order of each alarm when it is back, and what is older is dead (F65)', async () => {
    const id = await fleet.subscribe('pager')
    let down = true
    fleet.answers(() => (down ? { code: 'unreachable', detail: 'refused', address: null, durationMs: 1 } as never : answerOf(200)))
    await fleet.raise({ entity: 'too-old' })
    await fleet.pass(6 * 3_600_000, 20 * minuteMs)
    for (let i = 0; i < 40; i++) {
      await fleet.raise({ entity: `disk=${i % 4}` })
      await fleet.settle()
      await fleet.clear({ entity: `disk=${i % 4}` })
      await fleet.pass(1.7 * 3_600_000, 34 * minuteMs)
    }
    const tries = fleet.sent().length
    // never more than one at a time, and no more often than somebody asks
    expect(tries).toBeLessThan(300)
    down = false
    const missed = (await fleet.log(id)).filter(({ state }) => state === 'waiting').flatMap(({ events }) => events.map((event) => event.id))
    await fleet.pass(5 * 3_600_000, 10 * minuteMs)
    const arrived = fleet.sent().slice(tries)
    const told = entitiesOf(arrived)
    expect(arrived.flatMap(({ events }) => events.map((event) => event.id)).sort()).toEqual(missed.sort())
    for (let disk = 0; disk < 4; disk++) expect(told.filter((each) => each.endsWith(`disk=${disk}`)).every((each, i) => each.startsWith(i % 2 === 0 ? 'raised' : 'cleared'))).toBe(true)
    const log = await fleet.log(id)
    expect([log[0]!.state, new Set(log.slice(1).map(({ state }) => state))]).toEqual(['dead', new Set(['delivered'])])
  }, 60_000)

  test('of an endpoint that was away for a day, with nothing new to tell, goes out within minutes when it is back (F65)', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(503))
    await fleet.raise()
    await fleet.pass(dayMs, minuteMs)
    const [message] = await fleet.log(id)
    expect([message!.state, message!.attempts < 24 * 12]).toEqual(['waiting', true])
    fleet.answers(() => answerOf(200))
    await fleet.pass(13 * minuteMs, minuteMs)
    expect((await fleet.log(id)).map(({ state }) => state)).toEqual(['delivered'])
  }, 60_000)

  test('to a URL that was wrong goes to the right one as soon as that is set', async () => {
    const id = await fleet.subscribe('wrong')
    fleet.answers((name) => answerOf(name === 'right' ? 204 : 404))
    await fleet.raise()
    await fleet.pass(30 * minuteMs, minuteMs)
    await fleet.controller.call('updateWebhook', { params: { webhook: id }, body: { url: 'https://right.example.com/hook' } })
    await fleet.settle()
    expect([fleet.sent('right').length, (await fleet.log(id))[0]!.state]).toEqual([1, 'delivered'])
  })

  test('for good, answered with 410, disables its endpoint and stays for whoever enables it again', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(410))
    await fleet.raise()
    await fleet.settle()
    const webhook = () => fleet.controller.call('getWebhook', { params: { webhook: id } }).then(({ body }) => body)
    expect(await webhook()).toMatchObject({ state: 'disabled', disabledReason: 'it answered 410 Gone', waiting: 1, version: 2 })
    await fleet.raise({ entity: 'unheard' })
    await fleet.pass(minuteMs)
    expect([fleet.sent().length, await alarmOf(id)]).toEqual([1, expect.objectContaining({ severity: 'major', alarmId: '400.001' })])
    fleet.answers(() => answerOf(204))
    await fleet.controller.call('updateWebhook', { params: { webhook: id }, body: { state: 'enabled' } })
    await fleet.settle()
    await fleet.raise({ entity: 'heard' })
    await fleet.settle()
    expect(entitiesOf(fleet.sent().slice(1))).toEqual(['raised node=a.filesystem=/var', 'raised heard'])
    expect([await webhook(), await alarmOf(id)]).toEqual([expect.objectContaining({ state: 'enabled', disabledReason: null, waiting: 0 }), undefined])
  })

  test.each([['120', 120_000], ['Mon, 01 Jun 2026 12:02:00 GMT', 120_000], ['999999999', dayMs], ['soon', 0]])('answered with Retry-After: %s is not tried again before, and nothing else is', async (header, waitMs) => {
    await fleet.subscribe('pager')
    fleet.answers(() => answerOf(429, { headers: { 'Retry-After': header } }))
    await fleet.raise({ entity: 'one' })
    await fleet.settle()
    fleet.answers(() => answerOf(200))
    await fleet.raise({ entity: 'two' })
    await fleet.settle()
    fleet.controller.clock.advance(waitMs - 1)
    await fleet.run()
    expect(fleet.sent()).toHaveLength(waitMs === 0 ? 2 : 1)
    fleet.controller.clock.advance(60_000)
    await fleet.run()
    expect(entitiesOf(fleet.sent().slice(1)).sort()).toEqual(['raised one', 'raised two'])
  })

  test.each([[301, { location: 'https://127.0.0.1/' }], [204, {}], [404, {}]])('answered with %i: only 2xx takes it (F63)', async (status, headers) => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => answerOf(status, { headers: headers as Record<string, string> }))
    await fleet.raise()
    await fleet.settle()
    expect([(await fleet.log(id))[0]!.state, fleet.sent().length]).toEqual([status === 204 ? 'delivered' : 'waiting', 1])
  })

  test('again and again does not hold up what has nothing to do with it', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers((_, { body }) => answerOf(body.includes('poison') ? 400 : 200))
    await fleet.raise({ entity: 'poison' })
    for (let i = 0; i < 30; i++) {
      await fleet.raise({ entity: `fine-${i}` })
      await fleet.clear({ entity: 'poison' })
      await fleet.settle()
      await fleet.pass(2 * minuteMs, 30_000)
    }
    const log = await fleet.log(id)
    expect(log.filter(({ state }) => state === 'waiting').flatMap(({ events }) => entitiesOf([{ events }] as never))).toEqual(['raised poison', 'cleared poison'])
    expect(log.filter(({ state }) => state === 'delivered')).toHaveLength(30)
  }, 30_000)
})

describe('an endpoint that fails', () => {
  test('becomes an alarm: minor after five minutes, major after an hour, gone when it takes messages again; others are told of it, it is not', async () => {
    const id = await fleet.subscribe('pager')
    await fleet.subscribe('chat')
    fleet.answers((name) => answerOf(name === 'pager' ? 500 : 200))
    await fleet.raise()
    await fleet.settle()
    await fleet.pass(4 * minuteMs, 30_000)
    expect(await alarmOf(id)).toBeUndefined()
    await fleet.pass(2 * minuteMs, 30_000)
    expect(await alarmOf(id)).toMatchObject({ severity: 'minor', source: 'controller' })
    await fleet.pass(60 * minuteMs, 5 * minuteMs)
    expect(await alarmOf(id)).toMatchObject({ severity: 'major' })
    fleet.answers(() => answerOf(200))
    // what is new is not made to wait as long as what failed many times, and opens the way for all
    await fleet.raise({ entity: 'new' })
    await fleet.pass(3 * minuteMs, 30_000)
    expect(await alarmOf(id)).toBeUndefined()
    expect((await fleet.log(id)).map(({ state }) => state)).toEqual(['delivered', 'delivered'])
    expect(entitiesOf(fleet.sent('chat')).filter((each) => each.includes('webhook='))).toEqual([`raised webhook=${id}`, `changed webhook=${id}`, `cleared webhook=${id}`])
    expect(entitiesOf(fleet.sent('pager')).filter((each) => each.includes('webhook='))).toEqual([])
  })

  test('and tells another one that fails too, does not make them talk without end', async () => {
    const ids = [await fleet.subscribe('pager'), await fleet.subscribe('chat')]
    fleet.answers(() => answerOf(500))
    await fleet.raise()
    await fleet.settle()
    await fleet.pass(dayMs, 10 * minuteMs)
    for (const id of ids) expect((await fleet.log(id)).length).toBeLessThanOrEqual(3)
  }, 30_000)

  test('or answers slowly, delays nobody else (F64)', async () => {
    const slow = await fleet.subscribe('slow')
    await fleet.subscribe('quick')
    let finish = (): void => undefined
    fleet.answers(async (name) => {
      if (name === 'slow') await new Promise<void>((resolve) => (finish = resolve))
      return answerOf(200)
    })
    await fleet.raise({ entity: 'one' })
    for (let turn = 0; turn < 200 && fleet.sent('quick').length < 1; turn++) await new Promise((resolve) => setImmediate(resolve))
    await fleet.raise({ entity: 'two' })
    for (let turn = 0; turn < 200 && fleet.sent('quick').length < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(entitiesOf(fleet.sent('quick'))).toEqual(['raised one', 'raised two'])
    expect((await fleet.log(slow)).map(({ state }) => state)).toEqual(['waiting', 'waiting'])
    finish()
    for (let turn = 0; turn < 200 && fleet.sent('slow').length < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    finish()
    await fleet.settle()
    expect((await fleet.log(slow)).map(({ state }) => state)).toEqual(['delivered', 'delivered'])
  })

  test('gets no more messages than its rate allows, and all of them in the end', async () => {
    await fleet.subscribe('pager', { perSecond: 2 })
    // more than go into two messages
    await fleet.storm(0, 120)
    await fleet.run()
    const counts = [fleet.sent().length]
    for (let second = 1; entitiesOf(fleet.sent()).length < 120 && second < 10; second++) {
      await fleet.pass(1000, 1000)
      counts.push(fleet.sent().length)
    }
    expect([counts, entitiesOf(fleet.sent()).length]).toEqual([[2, 4, 5], 120])
  })
})

test('where time passes by itself, a run waits for the rate instead of leaving the rest to the next', async () => {
  await fleet.subscribe('pager', { perSecond: 4 })
  const ctx = fleet.controller.context()
  const { clock } = fleet.controller
  // more than goes into the four messages that go at once
  await fleet.storm(0, 60)
  const startedMs = clock.nowMs()
  await fleet.run({ ...ctx, clock: { nowMs: clock.nowMs, pause: async (spanMs) => clock.advance(spanMs) } })
  expect([fleet.sent().length, clock.nowMs() - startedMs]).toEqual([5, 250])
})

describe('whoever sends', () => {
  /** Another process: what one remembers, the other does not know. */
  const another = () => {
    const ctx = fleet.controller.context()
    return { ...ctx, db: { ...ctx.db } }
  }

  test('and is killed after it took a message leaves it to others when its lease is over, under the same id', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers(() => new Promise(() => undefined))
    await fleet.raise()
    const ctx = another()
    const begun: Promise<unknown>[] = []
    ctx.background = (work) => void begun.push(work)
    // the one that the request woke is the one that dies: it never answers
    for (let turn = 0; turn < 200 && fleet.sent().length < 1; turn++) await new Promise((resolve) => setImmediate(resolve))
    fleet.answers(() => answerOf(200))
    await runWebhooks(ctx)
    await Promise.all(begun)
    expect([fleet.sent().length, (await fleet.log(id))[0]!.state]).toEqual([1, 'waiting'])
    fleet.controller.clock.advance(2 * minuteMs)
    const later = another()
    later.background = ctx.background
    await runWebhooks(later)
    await Promise.all(begun)
    expect([fleet.sent().length, (await fleet.log(id))[0]!.state]).toEqual([2, 'delivered'])
    expect(new Set(fleet.sent().map((message) => message.id)).size).toBe(1)
  })

  test('at the same time as others sends nothing twice and forgets nothing (F48)', async () => {
    const ids = [await fleet.subscribe('pager', { perSecond: 100 }), await fleet.subscribe('chat', { perSecond: 100 })]
    for (let round = 0; round < 5; round++) {
      await fleet.storm(round * 60, 60)
      await Promise.all(Array.from({ length: 6 }, () => fleet.run(another())))
    }
    await fleet.pass(10_000, 1000)
    for (const name of ['pager', 'chat']) {
      const told = entitiesOf(fleet.sent(name))
      expect([told.length, new Set(told).size]).toEqual([300, 300])
    }
    for (const id of ids) expect((await fleet.log(id)).every(({ state, attempts }) => state === 'delivered' && attempts === 1)).toBe(true)
  }, 30_000)
})

/** Messages that were given up, so many of each millisecond. */
const addDead = (id: string, count: number, perMs: number) => fleet.controller.db.write([{
  sql: `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
        INSERT INTO delivery (id, webhook_id, state, order_keys, types, subject, events, event_count, created_ms, due_ms, leased_until_ms, attempts, log, ended_ms)
        SELECT 'wd_' || printf('%026d', i), ?, 'dead', '[]', '[]', '', '[]', 0, ? + i / CAST(? AS INTEGER), 0, 0, 1, '[]', 0 FROM n`,
  args: [count, id, Date.UTC(2026, 5, 1), perMs],
}])

describe('replaying', () => {
  const replay = (id: string, body: object) => fleet.controller.call('replayDeliveries', { as: 'operator', params: { webhook: id }, body })
  const all = { from: '2026-06-01T00:00:00Z', to: '2027-06-01T00:00:00Z' }

  test('a range brings what nobody took, once, and all of it where that is wanted', async () => {
    const id = await fleet.subscribe('pager')
    await fleet.raise({ entity: 'taken' })
    await fleet.settle()
    fleet.answers(() => answerOf(500))
    await fleet.raise({ entity: 'missed' })
    await fleet.settle()
    expect((await replay(id, all)).body).toEqual({ replayed: 0, next: null })
    await fleet.controller.db.write([{ sql: `UPDATE delivery SET state = 'dead', ended_ms = 1 WHERE state = 'waiting'`, args: [] }])
    fleet.answers(() => answerOf(200))
    const before = fleet.sent().length
    fleet.controller.clock.advance(minuteMs)
    expect((await replay(id, all)).body).toEqual({ replayed: 1, next: null })
    await fleet.settle()
    expect((await replay(id, all)).body).toEqual({ replayed: 0, next: null })
    expect((await replay(id, { ...all, which: 'all' })).body).toEqual({ replayed: 2, next: null })
    await fleet.settle()
    expect(entitiesOf(fleet.sent().slice(before))).toEqual(['raised missed', 'raised taken', 'raised missed'])
  })

  test('more of one moment than goes at once goes at once all the same, and what came after it next', async () => {
    const id = await fleet.subscribe('pager', { format: 'pagerduty', routingKey: 'k' })
    fleet.answers(() => answerOf(200))
    await addDead(id, 2 * limits.webhookReplayMax + 1, 2 * limits.webhookReplayMax)
    const first = (await replay(id, all)).body
    expect([first.replayed, first.next]).toEqual([2 * limits.webhookReplayMax, new Date(Date.UTC(2026, 5, 1) + 1).toISOString()])
    expect((await replay(id, { ...all, from: first.next! })).body).toEqual({ replayed: 1, next: null })
  })

  test('more than goes at once says where to go on', async () => {
    const id = await fleet.subscribe('pager')
    await addDead(id, limits.webhookReplayMax + 500, 3)
    fleet.answers(() => answerOf(200))
    const first = (await replay(id, { ...all, which: 'all' })).body
    expect([first.replayed, first.next]).toEqual([999, new Date(Date.UTC(2026, 5, 1) + 333).toISOString()])
    expect((await replay(id, { ...all, from: first.next!, which: 'all' })).body).toEqual({ replayed: 501, next: null })
  })

  test('is not for what still waits, nor for an endpoint that is disabled, nor for another\'s message', async () => {
    const [id, other] = [await fleet.subscribe('pager'), await fleet.subscribe('chat')]
    fleet.answers(() => answerOf(500))
    await fleet.raise()
    await fleet.settle()
    const [row] = await fleet.log(id)
    expect([(await replay(id, { delivery: row!.id })).status, (await replay(other, { delivery: row!.id })).status]).toEqual([409, 404])
    await fleet.controller.call('updateWebhook', { params: { webhook: id }, body: { state: 'disabled' } })
    expect((await replay(id, all)).status).toBe(409)
  })
})

describe('the log', () => {
  test('is walked newest first, of one state too, and shows the attempts without what is secret', async () => {
    const id = await fleet.subscribe('pager')
    fleet.answers((_, { body }) => answerOf(body.includes('bad') ? 500 : 200))
    for (const entity of ['a', 'bad-1', 'b', 'bad-2', 'c']) {
      fleet.controller.clock.advance(10)
      await fleet.raise({ entity })
      await fleet.settle()
    }
    const list = (query: Record<string, string>) => fleet.controller.call('listDeliveries', { as: 'operator', params: { webhook: id }, query }).then(({ body }) => body)
    const first = await list({ limit: '3' })
    const rest = await list({ limit: '3', cursor: first.next! })
    expect([...first.items, ...rest.items].map(({ subject }) => subject.split('/').at(-1))).toEqual(['c', 'bad-2', 'b', 'bad-1', 'a'])
    expect((await list({ state: 'waiting' })).items.map(({ attempts, types }) => [attempts, types])).toEqual([[1, ['alarm.raised']], [1, ['alarm.raised']]])
    const shown = (await fleet.controller.call('getDelivery', { params: { webhook: id, delivery: rest.items.at(-1)!.id } })).body
    expect(shown).toMatchObject({ state: 'delivered', log: [{ status: 200, error: null }] })
    expect(JSON.parse(shown.body)).toMatchObject({ type: 'murmuration.alarm.raised' })
  })

  test('is kept for two weeks', async () => {
    const id = await fleet.subscribe('pager')
    await fleet.raise()
    await fleet.settle()
    fleet.controller.clock.advance(limits.webhookLogMs)
    expect([await expireDeliveries(fleet.controller.context()), (await fleet.log(id)).length]).toEqual([0, 1])
    fleet.controller.clock.advance(1)
    expect([await expireDeliveries(fleet.controller.context()), (await fleet.log(id)).length]).toEqual([1, 0])
  })

  test('of a storm is forgotten as fast as it came', async () => {
    const id = await fleet.subscribe('pager')
    await addDead(id, 3500, 100)
    expect([await expireDeliveries(fleet.controller.context()), (await fleet.log(id)).length]).toEqual([3500, 0])
  })
})
