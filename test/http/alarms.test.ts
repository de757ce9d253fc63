import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { endShelves } from '../../functions/alarm/end-shelves.ts'
import { expireAlarms } from '../../functions/alarm/expire.ts'
import { limits } from '../../protocol/limits.ts'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
  await controller.call('createSite', { body: { id: 'kiel', labels: { region: 'north' } } })
  await controller.call('createSite', { body: { id: 'husum', labels: { region: 'west' } } })
})
afterEach(() => controller.close())

const alarm = { site: 'kiel', alarmId: '100.003', entity: 'node=n1.filesystem=/var', severity: 'major', text: '/var is 88 % full' }
const { site, alarmId, entity } = alarm
const identity = { site, alarmId, entity }
const raise = async (changes: Partial<Record<keyof typeof alarm | 'gating', unknown>> = {}): Promise<AlarmView> => (await controller.call('raiseAlarm', { body: { ...alarm, ...changes } })).body
const listed = async (query: Record<string, string> = {}): Promise<AlarmView[]> => (await controller.call('listAlarms', { as: 'viewer', query })).body.items
const history = async (query: Record<string, string> = {}) => (await controller.call('listAlarmEvents', { as: 'viewer', query })).body.items
const changes = async () => (await history(identity)).map(({ change }) => change).reverse()
const actions = async () => (await controller.call('listEvents', { query: { entity: `alarm/${alarmId}/${entity}` } })).body.items.map((event) => event.action)

describe('the life of an alarm', () => {
  test('it stands from when it was raised until it is cleared, however often either is said', async () => {
    const raised = await raise()
    expect(raised).toMatchObject({ state: 'active', source: 'tool', gating: false, catalogue: { name: 'Filesystem full' } })
    controller.clock.advance(60_000)
    expect(await raise()).toEqual(raised)
    expect(await listed()).toEqual([raised])
    expect((await controller.call('clearAlarm', { body: { ...identity, reason: 'logs are gone' } })).body).toEqual({ cleared: true })
    expect((await controller.call('clearAlarm', { body: identity })).body).toEqual({ cleared: false })
    expect(await listed()).toEqual([])
    expect((await controller.call('getAlarm', { as: 'viewer', query: identity })).body).toMatchObject({ state: 'cleared', raisedAt: raised.raisedAt })
    expect(await actions()).toEqual(['alarm.raised', 'alarm.cleared'])
    expect((await history()).map(({ change, by, note }) => [change, by, note])).toEqual([['cleared', 'token:admin', 'logs are gone'], ['raised', 'token:admin', '']])
  })

  test('one that changes keeps its time; one that comes back starts anew', async () => {
    const first = await raise()
    controller.clock.advance(60_000)
    const worse = await raise({ severity: 'critical' })
    expect([worse.severity, worse.gating, worse.raisedAt]).toEqual(['critical', true, first.raisedAt])
    await controller.call('clearAlarm', { body: identity })
    const again = await raise()
    expect([again.clearedAt, again.raisedAt > first.raisedAt]).toEqual([null, true])
    expect(await actions()).toEqual(['alarm.raised', 'alarm.changed', 'alarm.cleared', 'alarm.raised'])
    expect(await changes()).toEqual(['raised', 'changed', 'cleared', 'raised'])
  })

  test('somebody has seen it until it gets worse or comes anew; who came first is kept', async () => {
    await raise()
    const seen = (await controller.call('acknowledgeAlarm', { as: 'operator', body: { ...identity, note: 'on it' } })).body
    expect(seen).toMatchObject({ state: 'acknowledged', acknowledged: { by: 'token:operator', note: 'on it' } })
    expect((await controller.call('acknowledgeAlarm', { body: { ...identity, note: 'me too' } })).body).toEqual(seen)
    expect([await listed(), (await listed({ all: 'true' })).length]).toEqual([[], 1])
    expect(await raise({ severity: 'minor' })).toMatchObject({ state: 'acknowledged' })
    expect(await raise({ severity: 'critical' })).toMatchObject({ state: 'active', acknowledged: null })
    await controller.call('acknowledgeAlarm', { body: identity })
    await controller.call('clearAlarm', { body: identity })
    expect(await raise()).toMatchObject({ state: 'active', acknowledged: null })
    expect(await changes()).toEqual(['raised', 'acknowledged', 'changed', 'changed', 'acknowledged', 'cleared', 'raised'])
  })

  test('what does not stand can neither be acknowledged nor shelved', async () => {
    for (const id of ['acknowledgeAlarm', 'shelveAlarm', 'unshelveAlarm'] as const) {
      const body = { ...identity, ...(id === 'shelveAlarm' ? { duration: '1h', reason: 'later' } : {}) }
      expect((await controller.call(id, { body })).status).toBe(404)
    }
    await raise()
    await controller.call('clearAlarm', { body: identity })
    expect(await controller.call('acknowledgeAlarm', { body: identity })).toMatchObject({ status: 409, body: { reason: 'cleared' } })
    expect((await controller.call('getAlarm', { query: { ...identity, entity: 'other' } })).status).toBe(404)
  })

  test('viewers look and do not touch', async () => {
    expect((await controller.call('raiseAlarm', { as: 'viewer', body: alarm })).status).toBe(403)
    expect((await controller.call('acknowledgeAlarm', { as: 'viewer', body: identity })).status).toBe(403)
  })
})

describe('the shelf', () => {
  const shelve = (duration = '1h') => controller.call('shelveAlarm', { body: { ...identity, duration, reason: 'the disk comes next week' } })

  test('hides an alarm for a while, then it asks for attention again', async () => {
    await raise()
    expect((await shelve()).body).toMatchObject({ state: 'shelved', shelved: { by: 'token:admin', reason: 'the disk comes next week' } })
    expect(await listed()).toEqual([])
    controller.clock.advance(59 * 60_000)
    expect(await endShelves(controller.context())).toEqual({ taken: 0 })
    controller.clock.advance(60_000)
    expect(await endShelves(controller.context())).toEqual({ taken: 1 })
    expect(await endShelves(controller.context())).toEqual({ taken: 0 })
    expect(await listed()).toMatchObject([{ state: 'active', shelved: null }])
    expect(await changes()).toEqual(['raised', 'shelved', 'unshelved'])
  })

  test('outlives a clear: what comes back on it is not announced, and its end is', async () => {
    await raise()
    await shelve()
    await controller.call('clearAlarm', { body: identity })
    expect(await raise()).toMatchObject({ state: 'shelved' })
    expect((await history(identity)).map(({ change, silenced }) => [change, silenced]).reverse()).toEqual([['raised', false], ['shelved', false], ['cleared', false], ['raised', true]])
  })

  test('ends when somebody says so, and not with the row of a cleared alarm', async () => {
    await raise()
    await shelve('30d')
    await controller.call('clearAlarm', { body: identity })
    controller.clock.advance(limits.alarmClearedMs + 1)
    expect(await expireAlarms(controller.context())).toMatchObject({ alarms: 0 })
    await raise()
    expect((await controller.call('unshelveAlarm', { body: identity })).body).toMatchObject({ state: 'active' })
    expect((await controller.call('unshelveAlarm', { body: identity })).body).toMatchObject({ state: 'active' })
    expect((await actions()).filter((action) => action === 'alarm.unshelved')).toHaveLength(1)
  })

  test.each(['10s', '91d'])('takes nothing for %s', async (duration) => {
    await raise()
    expect((await shelve(duration)).status).toBe(400)
  })
})

describe('what is listed', () => {
  beforeEach(async () => {
    for (const [i, where] of ['kiel', 'husum'].entries()) {
      for (const [j, what] of ['a', 'b'].entries()) {
        controller.clock.advance(1000)
        await raise({ site: where, entity: what, alarmId: j === 0 ? '100.003' : '100.004', severity: i === j ? 'critical' : 'minor' })
      }
    }
  })
  const names = (items: readonly AlarmView[]) => items.map((item) => `${item.site}/${item.entity}`)

  test('comes newest first, page by page', async () => {
    const first = (await controller.call('listAlarms', { query: { limit: '3' } })).body
    const second = (await controller.call('listAlarms', { query: { limit: '3', cursor: first.next! } })).body
    expect([names(first.items), names(second.items), second.next]).toEqual([['husum/b', 'husum/a', 'kiel/b'], ['kiel/a'], null])
  })

  test.each([
    [{ site: 'kiel' }, ['kiel/b', 'kiel/a']],
    [{ alarmId: '100.004' }, ['husum/b', 'kiel/b']],
    [{ severity: 'critical' }, ['husum/b', 'kiel/a']],
    [{ gating: 'true' }, ['husum/b', 'kiel/a']],
    [{ gating: 'false' }, ['husum/a', 'kiel/b']],
    [{ labelSelector: 'region=north' }, ['kiel/b', 'kiel/a']],
    [{ labelSelector: 'region!=north', severity: 'minor' }, ['husum/a']],
    [{ site: 'husum', alarmId: '100.004', severity: 'minor' }, []],
  ] as const)('is what %j asks for', async (query, wanted) => {
    expect(names(await listed(query))).toEqual(wanted)
  })

  test('is refused where the question cannot be read', async () => {
    for (const query of [{ labelSelector: 'a b c' }, { cursor: 'x' }, { severity: 'bad' }]) expect((await controller.call('listAlarms', { query: query as never })).status).toBe(400)
  })

  test('leaves what is hidden to those who ask for all, and a short page still leads on', async () => {
    for (const each of await listed()) if (each.site === 'husum') await controller.call('acknowledgeAlarm', { body: { site: each.site, alarmId: each.alarmId, entity: each.entity } })
    expect(names(await listed())).toEqual(['kiel/b', 'kiel/a'])
    expect((await listed({ all: 'true' })).map(({ state }) => state)).toEqual(['acknowledged', 'acknowledged', 'active', 'active'])
  })

  test('is summed up without counting', async () => {
    await controller.call('acknowledgeAlarm', { body: { site: 'kiel', alarmId: '100.003', entity: 'a' } })
    const none = { active: 0, acknowledged: 0, shelved: 0, silenced: 0 }
    expect((await controller.call('getSummary', { as: 'viewer' })).body).toEqual({
      sites: { online: 0, offline: 0, unknown: 0, suspect: 0, claimed: 2 },
      alarms: { critical: { ...none, active: 1, acknowledged: 1 }, major: none, minor: { ...none, active: 2 }, warning: none },
    })
  })

  test('of history is what happened there, then, to that', async () => {
    const times = (await history()).map(({ at }) => at).reverse()
    const seen = async (query: Record<string, string>) => (await history(query)).map((event) => `${event.site}/${event.entity}`)
    expect(await seen({ site: 'kiel' })).toEqual(['kiel/b', 'kiel/a'])
    expect(await seen({ alarmId: '100.003' })).toEqual(['husum/a', 'kiel/a'])
    expect(await seen({ site: 'kiel', entity: 'a' })).toEqual(['kiel/a'])
    expect(await seen({ from: times[1]!, to: times[3]! })).toEqual(['husum/a', 'kiel/b'])
    const first = (await controller.call('listAlarmEvents', { query: { limit: '3' } })).body
    const rest = (await controller.call('listAlarmEvents', { query: { limit: '3', cursor: first.next! } })).body
    expect([first.items.length, rest.items.length, rest.next]).toEqual([3, 1, null])
  })
})

describe('bad input', () => {
  test('there is no alarm without its site, and the fleet has its own', async () => {
    expect((await controller.call('raiseAlarm', { body: { ...alarm, site: 'nowhere' } })).status).toBe(404)
    expect(await raise({ site: '_fleet', alarmId: '400.003', entity: 'broker' })).toMatchObject({ site: '_fleet', state: 'active' })
    expect(await listed({ site: '_fleet' })).toHaveLength(1)
  })

  test('an unknown id is kept, without a word of the catalogue, and gates when it is critical', async () => {
    expect(await raise({ alarmId: '999.1', severity: 'critical' })).toMatchObject({ catalogue: null, gating: true })
    expect(await raise({ alarmId: '999.1', severity: 'critical', gating: false })).toMatchObject({ gating: false })
  })

  test.each([{ severity: 'fatal' }, { text: 'x'.repeat(limits.reasonLengthMax + 1) }, { entity: '' }, { entity: 'a\0b' }, { text: '\0' }, { entity: 'x'.repeat(limits.alarmEntityMax + 1) }, { alarmId: 'disk' }, { site: 'A B' }])('%j is refused', async (change) => {
    expect((await controller.call('raiseAlarm', { body: { ...alarm, ...change } as never })).status).toBe(400)
  })

  test('hostile words come back as they went in, and lead from page to page (F71)', async () => {
    const hostile = ['<script>alert(1)</script>', '\u001b]0;owned\u0007\u001b[2J', "'; DROP TABLE alarm; --", '%_*?[', '\u0001\u0002'.repeat(100), '\u202e𝒳'.repeat(60), 'n/1"\\']
    for (const text of hostile) await raise({ entity: text, text })
    let cursor: string | null = null
    const found: string[] = []
    do {
      const { items, next }: { items: AlarmView[]; next: string | null } = (await controller.call('listAlarms', { query: cursor === null ? { limit: '1' } : { limit: '1', cursor } })).body
      found.push(...items.map(({ text }) => text))
      cursor = next
    } while (cursor !== null)
    expect(found.sort()).toEqual([...hostile].sort())
    expect((await controller.call('getAlarm', { query: { ...identity, entity: hostile[2]! } })).body).toMatchObject({ text: hostile[2] })
  })
})

test('what was long ago is forgotten, and only that', async () => {
  await raise()
  await controller.call('clearAlarm', { body: identity })
  await raise({ entity: 'stands' })
  controller.clock.advance(limits.alarmClearedMs + 1)
  expect(await expireAlarms(controller.context())).toEqual({ alarms: 1, events: 0 })
  expect((await controller.call('getAlarm', { query: identity })).status).toBe(404)
  expect(await listed()).toHaveLength(1)
  controller.clock.advance(limits.alarmHistoryMs)
  expect(await expireAlarms(controller.context())).toEqual({ alarms: 0, events: 3 })
})

test('the alarms of a removed site clear with it', async () => {
  await raise()
  await raise({ entity: 'other' })
  await controller.call('removeSite', { params: { site } })
  expect(await listed({ all: 'true' })).toEqual([])
  expect((await history()).filter(({ change }) => change === 'cleared').map(({ note }) => note)).toEqual(['the site was removed', 'the site was removed'])
})
