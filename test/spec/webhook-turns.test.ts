import { describe, expect, test } from 'vitest'
import { coalesce, singlesMax, type Queue } from '../../functions/webhook/coalesce.ts'
import { allowedNow, decideNext, type Pace, type QueuedMessage } from '../../functions/webhook/decide-next.ts'
import { hashOf } from '../../functions/webhook/hash.ts'
import { judgeAnswer } from '../../functions/webhook/judge-answer.ts'
import { retryDelayMs } from '../../functions/webhook/retry-delay.ts'
import type { FleetEvent } from '../../protocol/events.ts'
import { limits } from '../../protocol/limits.ts'

const nowMs = 1_000_000
const pace: Pace = { failures: 0, holdUntilMs: 0, pacedUntilMs: 0, perSecond: 20 }
const queued = (seq: number, orderKeys: number[], more: Partial<QueuedMessage> = {}): QueuedMessage => ({ seq, orderKeys, dueMs: 0, leasedUntilMs: 0, ...more })
const taken = (queue: readonly QueuedMessage[], of: Partial<Pace> = {}): number[] => decideNext(queue, { ...pace, ...of }, nowMs).take.map(({ seq }) => seq)

describe('whose turn it is', () => {
  test('a message goes when none before it has one of its keys', () => {
    expect(taken([queued(1, [7]), queued(2, [8]), queued(3, [7, 9]), queued(4, [9]), queued(5, [10])])).toEqual([1, 2, 5])
  })

  test('one that is not due yet, or that somebody else has, holds up what comes after it and nothing else', () => {
    expect(taken([queued(1, [7], { dueMs: nowMs + 1 }), queued(2, [7]), queued(3, [8], { leasedUntilMs: nowMs + 1 }), queued(4, [8]), queued(5, [9])])).toEqual([5])
  })

  test('whose lease is over goes again', () => {
    expect(taken([queued(1, [7], { leasedUntilMs: nowMs })])).toEqual([1])
  })

  test('five are under way at a time, and one while the endpoint fails', () => {
    const queue = Array.from({ length: 10 }, (_, i) => queued(i, [i], { leasedUntilMs: i < 2 ? nowMs + 1 : 0 }))
    expect([taken(queue), taken(queue.slice(2)), taken(queue.slice(2), { failures: 3 }), taken(queue, { failures: 3 })]).toEqual([[2, 3, 4], [2, 3, 4, 5, 6], [2], []])
  })

  test('none goes before the endpoint may be asked again', () => {
    expect([taken([queued(1, [1])], { holdUntilMs: nowMs + 1 }), taken([queued(1, [1])], { holdUntilMs: nowMs })]).toEqual([[], [1]])
  })

  test('of an endpoint that fails and has nothing due, the one that is due first asks now and then', () => {
    const queue = [queued(1, [1], { dueMs: nowMs + 3 * 3_600_000 }), queued(2, [2], { dueMs: nowMs + 3_600_000 }), queued(3, [2], { dueMs: nowMs + 1 })]
    const at = (failures: number, agoMs: number): number[] => taken(queue, { failures, holdUntilMs: nowMs - agoMs })
    expect([at(3, 600_000), at(3, 599_999), at(2, 600_000)]).toEqual([[2], [], []])
    expect(taken([...queue, queued(4, [4])], { failures: 3, holdUntilMs: nowMs - 600_000 })).toEqual([4])
  })

  test.each([[0.1, 10_000], [2, 500], [3, 1000 / 3], [100, 10]])('at %d a second, on average one goes every %d ms, however often somebody looks', (perSecond, stepMs) => {
    const queue = Array.from({ length: 200 }, (_, i) => queued(i, [i]))
    let pacedUntilMs = 0
    let sent = 0
    for (let passedMs = 0; passedMs < 60_000; passedMs += 7) {
      const next = decideNext(queue, { ...pace, perSecond, pacedUntilMs }, nowMs + passedMs)
      if (next.take.length > 0) pacedUntilMs = next.pacedUntilMs
      sent += next.take.length
      expect(sent).toBeLessThanOrEqual((passedMs + Math.max(1000, stepMs)) / stepMs)
    }
    expect(sent).toBeGreaterThan(60_000 / stepMs * 0.95)
  })

  test.each([[0.1, 0, 1], [0.1, 1, 0], [2, 0, 2], [2, 500, 1], [2, 501, 0], [20, 0, 20], [20, 975, 0], [20, 950, 1]])('at %d a second, used up for %d ms to come, it lets %d go', (perSecond, usedMs, count) => {
    expect(allowedNow({ ...pace, perSecond, pacedUntilMs: nowMs + usedMs }, nowMs)).toBe(count)
  })

  test('what only the rate holds up says for how long', () => {
    const next = decideNext([queued(1, [1])], { ...pace, perSecond: 2, pacedUntilMs: nowMs + 900 }, nowMs)
    expect(next).toMatchObject({ take: [], waitMs: 400 })
    expect(decideNext([queued(1, [1])], { ...pace, perSecond: 2, pacedUntilMs: nowMs + 900 }, nowMs + 400).take).toHaveLength(1)
    expect(decideNext([], { ...pace, perSecond: 2, pacedUntilMs: nowMs + 900 }, nowMs).waitMs).toBeNull()
  })
})

const event = (n: number, subject = `alarm/${n}`, text = ''): FleetEvent => ({ specversion: '1.0', id: `alarm-${n}`, source: 's', type: 't', subject, time: '2026-06-01T12:00:00Z', datacontenttype: 'application/json', data: { message: text } })
const events = (from: number, count: number): FleetEvent[] => Array.from({ length: count }, (_, i) => event(from + i))
const empty: Queue = { oldest: [], room: 100, newest: null, bySubject: new Map() }
/** What waits: messages about the alarms of these numbers. */
const waiting = (...about: number[]): Queue['oldest'] => about.map((n, i) => ({ seq: i, orderKeys: [hashOf(`alarm/${n}`)] }))
const many = waiting(...Array.from({ length: singlesMax + 1 }, (_, i) => 1000 + i))
const ids = (messages: readonly (readonly FleetEvent[])[]): string[][] => messages.map((each) => each.map(({ id }) => id.slice('alarm-'.length)))

describe('events become messages', () => {
  test('one by one while few wait, then together, and none is lost or out of order', () => {
    const { made, changed } = coalesce(events(0, 200), empty, 64)
    expect(made.slice(0, singlesMax).every((each) => each.length === 1)).toBe(true)
    expect([made.flat().map(({ id }) => id), changed]).toEqual([events(0, 200).map(({ id }) => id), []])
    expect(made.slice(singlesMax).map((each) => each.length).every((length) => length > 1 && length <= 64)).toBe(true)
  })

  test('one by one as long as the rate lets all go at once; what would only wait for it goes along with the last', () => {
    expect(ids(coalesce(events(0, 5), { ...empty, room: 3 }, 64).made)).toEqual([['0'], ['1'], ['2', '3', '4']])
    expect(ids(coalesce(events(0, 3), { ...empty, room: 0 }, 64).made)).toEqual([['0', '1', '2']])
    const open = { seq: 0, events: events(0, 1) }
    const { made, changed } = coalesce(events(1, 2), { ...empty, oldest: waiting(0), room: -1, newest: open }, 64)
    expect([made, ids(changed.map((each) => each.events))]).toEqual([[], [['0', '1', '2']]])
  })

  test('but nothing goes along with, or takes along, what waits for an earlier message about the same', () => {
    const about = (n: number, subject: number): FleetEvent => event(n, `alarm/${subject}`)
    const behind = { ...empty, oldest: [...waiting(7), { seq: 9, orderKeys: [hashOf('alarm/7')] }], room: 0, newest: { seq: 9, events: [about(1, 7)] } }
    expect(coalesce([about(2, 8), about(3, 9)], behind, 64)).toEqual({ changed: [], made: [[about(2, 8), about(3, 9)]] })
    const { made, changed } = coalesce([about(1, 8), about(2, 7), about(3, 9), about(4, 10)], { ...empty, oldest: waiting(7), room: 0 }, 64)
    expect([ids(made), changed]).toEqual([[['1'], ['2'], ['3', '4']], []])
  })

  test('go along with the newest that nobody has tried, up to what a message holds', () => {
    const newest = { seq: 9, events: events(0, 62) }
    const { made, changed } = coalesce(events(62, 4), { ...empty, oldest: many, newest }, 64)
    expect([changed.map((each) => [each.seq, each.events.length]), made.map((each) => each.length)]).toEqual([[[9, 64]], [2]])
    expect(newest.events).toHaveLength(62)
  })

  test('that are long fill a message by their bytes', () => {
    const long = Array.from({ length: 30 }, (_, i) => event(i, `alarm/${i}`, 'ü'.repeat(2000)))
    const { made } = coalesce(long, { ...empty, oldest: many }, 64)
    expect(made.every((each) => Buffer.byteLength(JSON.stringify(each)) <= limits.webhookBodyBytesMax)).toBe(true)
    expect([made.flat().length, made.length < 30]).toEqual([30, true])
  })

  test('of alarms take the place of older ones, where a receiver keeps one state of each', () => {
    const untold = new Map([['alarm/1', { seq: 5, events: [event(1)] }]])
    const { made, changed } = coalesce([event(2, 'alarm/1'), event(3, 'alarm/1'), event(4, 'alarm/2'), event(5, 'alarm/2'), event(6, 'rollout/1'), event(7, 'rollout/1')], { ...empty, bySubject: untold }, 1)
    expect(changed).toEqual([{ seq: 5, events: [event(3, 'alarm/1')] }])
    expect(made.map((each) => each.map(({ id }) => id))).toEqual([['alarm-5'], ['alarm-6'], ['alarm-7']])
  })
})

test('delays of retries are spread over the whole of each step, and the same each time they are asked for', () => {
  limits.webhookRetryMs.forEach((stepMs, i) => {
    const delays = Array.from({ length: 1000 }, (_, n) => retryDelayMs(`wd_${n}`, i + 1))
    expect([Math.min(...delays) >= 1, Math.max(...delays) <= stepMs, Math.min(...delays) < stepMs / 20, Math.max(...delays) > stepMs * 0.95]).toEqual([true, true, true, true])
    expect(delays.reduce((sum, delay) => sum + delay, 0) / delays.length / stepMs).toBeCloseTo(0.5, 1)
    expect(retryDelayMs('wd_1', i + 1)).toBe(delays[1])
  })
  expect(retryDelayMs('wd_1', 99)).toBeLessThanOrEqual(limits.webhookRetryMs.at(-1)!)
})

test('an answer is judged by its status, and a wish to be left alone is heeded for a day at most', () => {
  const answer = (status: number, headers: Record<string, string> = {}) => judgeAnswer({ status, headers, body: '', address: null, durationMs: 1 }, nowMs)
  expect([200, 202, 299].map((status) => answer(status).kind)).toEqual(['delivered', 'delivered', 'delivered'])
  expect([199, 300, 302, 400, 404, 500, 503].map((status) => answer(status).kind)).toEqual(Array.from({ length: 7 }, () => 'failed'))
  expect(answer(410)).toEqual({ kind: 'gone' })
  expect(['5', '0', '-5', '1e3', new Date(nowMs + 60_000).toUTCString(), new Date(0).toUTCString(), '99999999', ''].map((value) => answer(429, { 'Retry-After': value })))
    .toEqual([5000, null, null, null, 60_000, null, 86_400_000, null].map((retryAfterMs) => ({ kind: 'failed', retryAfterMs })))
})
