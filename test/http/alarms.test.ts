import { afterEach, beforeEach, expect, test } from 'vitest'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
  await controller.call('createSite', { body: { id: 'kiel' } })
})
afterEach(() => controller.close())

const alarm = { site: 'kiel', alarmId: '100.103', entity: 'node=1', severity: 'major', text: 'disk full', gating: true }
const { site, alarmId, entity } = alarm
const standing = async () => (await controller.call('listAlarms', { as: 'viewer' })).body.items
const actions = async () => (await controller.call('listEvents', { query: { entity: 'alarm/100.103/node=1' } })).body.items.map((event) => event.action)

test('an alarm stands from when it was raised until it is cleared, however often either is said', async () => {
  const raised = await controller.call('raiseAlarm', { body: alarm })
  controller.clock.advance(60_000)
  expect((await controller.call('raiseAlarm', { body: alarm })).body).toEqual(raised.body)
  expect(await standing()).toEqual([raised.body])
  expect((await controller.call('clearAlarm', { body: { site, alarmId, entity } })).body).toEqual({ cleared: true })
  expect((await controller.call('clearAlarm', { body: { site, alarmId, entity } })).body).toEqual({ cleared: false })
  expect(await standing()).toEqual([])
  expect(await actions()).toEqual(['alarm.raised', 'alarm.cleared'])
})

test('one that changes keeps its time; one that comes back starts anew', async () => {
  const first = (await controller.call('raiseAlarm', { body: alarm })).body
  controller.clock.advance(60_000)
  const worse = (await controller.call('raiseAlarm', { body: { ...alarm, severity: 'critical' } })).body
  expect([worse.severity, worse.raisedAt]).toEqual(['critical', first.raisedAt])
  await controller.call('clearAlarm', { body: { site, alarmId, entity } })
  const again = (await controller.call('raiseAlarm', { body: alarm })).body
  expect([again.clearedAt, again.raisedAt > first.raisedAt]).toEqual([null, true])
  expect(await actions()).toEqual(['alarm.raised', 'alarm.changed', 'alarm.cleared', 'alarm.raised'])
})

test('there is none without its site', async () => {
  expect((await controller.call('raiseAlarm', { body: { ...alarm, site: 'nowhere' } })).status).toBe(404)
})

test('standing alarms are walked page by page, for one site or all', async () => {
  await controller.call('createSite', { body: { id: 'husum' } })
  for (const where of ['kiel', 'husum']) for (const what of ['a', 'b']) await controller.call('raiseAlarm', { body: { ...alarm, site: where, entity: what } })
  const first = (await controller.call('listAlarms', { query: { limit: '3' } })).body
  const second = (await controller.call('listAlarms', { query: { limit: '3', cursor: first.next! } })).body
  expect([...first.items, ...second.items].map((item) => `${item.site}/${item.entity}`)).toEqual(['husum/a', 'husum/b', 'kiel/a', 'kiel/b'])
  expect((await controller.call('listAlarms', { query: { site: 'kiel' } })).body.items).toHaveLength(2)
})
