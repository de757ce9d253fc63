import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { doubtPresence } from '../../functions/ingest/doubt-presence.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { watchPresence } from '../../functions/ingest/watch-presence.ts'
import { watchLinks } from '../../functions/link/watch-links.ts'
import { fleetSite } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, addSites, enrolSites, look, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import { PracticeSite } from '../support/practice-site.ts'

const minuteMs = 60_000
const [offline, suspect, skewed, tooOld] = ['200.003', '200.004', '200.005', '200.006']

let controller: Controller
beforeEach(async () => {
  controller = await startController()
})
afterEach(() => controller.close())

async function standing(site: string): Promise<{ alarmId: string; severity: string; text: string }[]> {
  return controller.db.orm.all(sql`SELECT alarm_id AS alarmId, severity, text FROM alarm WHERE site_id = ${site} AND cleared_ms IS NULL ORDER BY alarm_id`)
}
const ids = async (site: string): Promise<string[]> => (await standing(site)).map(({ alarmId }) => alarmId)
const presence = async (site: string): Promise<unknown> => (await controller.db.orm.get<{ presence: string }>(sql`SELECT presence FROM site WHERE id = ${site}`)).presence
const changes = async (site: string, alarmId: string): Promise<string[]> => (await controller.db.orm.all<{ change: string }>(sql`SELECT change FROM alarm_event WHERE site_id = ${site} AND alarm_id = ${alarmId} ORDER BY seq`)).map(({ change }) => change)
const rowsChanged = async (work: () => Promise<unknown>): Promise<number> => {
  const total = async () => (await controller.db.orm.get<{ n: number }>(sql`SELECT total_changes() AS n`)).n
  const before = await total()
  await work()
  return (await total()) - before
}

async function oneSite(protocol = { min: 1, max: 2 }): Promise<PracticeSite> {
  await addSites(controller.db, [{ id: 'north' }])
  const site = new PracticeSite(controller, 'north')
  site.protocol = protocol
  await site.connect()
  return site
}

describe('a site that goes away (F46, F60)', () => {
  test('is said to be offline in the batch that makes it so, and is not any more with its hello', async () => {
    const site = await oneSite()
    await site.disconnect()
    expect(await standing('north')).toEqual([{ alarmId: offline, severity: 'major', text: 'its agent is not connected' }])
    await site.connect()
    expect(await ids('north')).toEqual([])
    expect(await changes('north', offline)).toEqual(['raised', 'cleared'])
  })

  test('whose last will comes twice, late, or after its next hello, is offline once or not at all (I10)', async () => {
    const site = await oneSite()
    const will = await site.message({ kind: 'gone', connectionId: site.connectionId })
    await receiveReports(controller.context(), [will, will])
    await receiveReports(controller.context(), [will])
    expect(await changes('north', offline)).toEqual(['raised'])
    await site.connect()
    await receiveReports(controller.context(), [will])
    expect(await ids('north')).toEqual([])
  })

  test('that goes while it is being changed is announced only if it stays away', async () => {
    const site = await oneSite()
    const release = await addRelease(controller, '1.0.0')
    await startRollout(controller, { name: 'r', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], startWithin: '5m', maxDuration: '5m' } })
    await site.takeGrant()
    await site.disconnect()
    expect((await controller.call('listAlarms', {})).body.items).toEqual([])
    expect(await ids('north')).toEqual([offline])
    controller.clock.advance(12 * minuteMs)
    await tick(controller)
    expect((await controller.call('listAlarms', { query: { site: 'north' } })).body.items.map(({ alarmId }) => alarmId)).toContain(offline)
  })

  test('costs no row for a hello or a report that changes nothing about it', async () => {
    const site = await oneSite()
    await site.say({ kind: 'metrics', block: blockAt(controller.clock.nowMs()), alarms: [] })
    const hello = await site.message(site.helloBody())
    await receiveReports(controller.context(), [hello])
    expect(await rowsChanged(() => receiveReports(controller.context(), [hello]))).toBe(0)
  })
})

describe('when nobody listened for a while', () => {
  test('who was online has minutes for its hello, counted from then; who says none is offline', async () => {
    const fleet = await enrolSites(controller, [{ id: 'north' }, { id: 'south' }])
    controller.clock.advance(5 * 60 * minuteMs)
    await doubtPresence(controller.deps)
    await tick(controller)
    expect([await presence('north'), await ids('north')]).toEqual(['unknown', []])
    await fleet.get('south')!.connect()
    controller.clock.advance(6 * minuteMs)
    // two ticks at once change nothing twice (F48)
    await Promise.all([tick(controller), tick(controller)])
    expect([await presence('north'), await ids('north')]).toEqual(['offline', [offline]])
    expect([await presence('south'), await ids('south')]).toEqual(['online', []])
    expect(await changes('north', offline)).toEqual(['raised'])
  })
})

const blockAt = (endMs: number): Extract<ReportBody, { kind: 'metrics' }>['block'] => ({ startMs: Math.floor(endMs / limits.metricBlockMs) * limits.metricBlockMs - limits.metricBlockMs, stepS: 60, nodes: [] })

describe('a site without a last will', () => {
  const sayMetrics = (site: PracticeSite): Promise<void> => site.say({ kind: 'metrics', block: blockAt(controller.clock.nowMs()), alarms: [] })
  /** The schedule, minute by minute. */
  async function watch(minutes: number): Promise<void> {
    for (let i = 0; i < minutes; i++) {
      controller.clock.advance(minuteMs)
      await watchPresence(controller.context())
    }
  }

  test('is suspect once two periods went by without its metrics, and online again with the next', async () => {
    const site = await oneSite()
    await watch(40)
    await sayMetrics(site)
    await watch(30)
    expect(await presence('north')).toBe('online')
    await watch(20)
    expect([await presence('north'), await standing('north')]).toEqual(['suspect', [{ alarmId: suspect, severity: 'minor', text: 'it has sent no metrics for two periods, and no last will came' }]])
    await sayMetrics(site)
    expect([await presence('north'), await ids('north')]).toEqual(['online', []])
  })

  test('that never sent metrics, or has an agent that sends none, is believed to be there', async () => {
    const site = await oneSite()
    await watch(90)
    expect(await presence('north')).toBe('online')
    await sayMetrics(site)
    site.protocol = { min: 1, max: 1 }
    await site.connect()
    await watch(90)
    expect(await presence('north')).toBe('online')
  })

  test('is believed while the controller itself was away, and has not listened long enough since', async () => {
    const site = await oneSite()
    await watch(40)
    await sayMetrics(site)
    controller.clock.advance(60 * minuteMs)
    await watch(30)
    expect(await presence('north')).toBe('online')
    await watch(20)
    expect(await presence('north')).toBe('suspect')
  })

  test('whose last will comes after all is offline, and suspect no more', async () => {
    const site = await oneSite()
    await watch(40)
    await sayMetrics(site)
    await watch(50)
    await site.disconnect()
    expect([await presence('north'), await ids('north')]).toEqual(['offline', [offline]])
  })

  test('is no site for a rollout: it is parked, and catches up once it is heard again', async () => {
    const site = await oneSite()
    await watch(40)
    await sayMetrics(site)
    await watch(50)
    expect(await presence('north')).toBe('suspect')
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }] } })
    expect((await look(controller, id)).counts).toEqual({ parked: 1 })
    await sayMetrics(site)
    await tick(controller)
    await runFleet(controller, new Map([['north', site]]))
    expect((await look(controller, id)).counts).toEqual({ succeeded: 1 })
  })

  test('is found among thousands in pages, two runs at once change nothing twice (F48), and between two walks one row is read', async () => {
    await addSites(controller.db, Array.from({ length: 2200 }, (_, i) => ({ id: `s${String(i).padStart(4, '0')}` })))
    controller.clock.advance(10 * minuteMs)
    const run = () => watchPresence(controller.context())
    await Promise.all([run(), run()])
    const count = async () => (await controller.db.orm.get<{ n: number }>(sql`SELECT count(*) AS n FROM alarm WHERE alarm_id = ${offline} AND cleared_ms IS NULL`)).n
    expect(await count()).toBe(1000)
    await run()
    await run()
    expect(await count()).toBe(2200)
    expect(await rowsChanged(run)).toBe(0)
    controller.clock.advance(16 * minuteMs)
    // only how far the walk has come
    expect(await rowsChanged(run)).toBe(1)
  })
})

describe('what a site says of itself', () => {
  /** A hello that was sent `offMs` from now by the site's clock. */
  async function helloWithClock(site: PracticeSite, offMs: number): Promise<void> {
    controller.clock.advance(offMs)
    const hello = await site.message(site.helloBody())
    controller.clock.advance(-offMs)
    await receiveReports(controller.context(), [hello])
  }

  test.each([
    [-4 * minuteMs, []],
    [6 * minuteMs, [{ alarmId: skewed, severity: 'minor', text: "its clock is more than 5 minutes ahead of the controller's" }]],
    [-40 * minuteMs, [{ alarmId: skewed, severity: 'minor', text: "its clock is more than 5 minutes behind the controller's" }]],
    [50 * 365 * 24 * 60 * minuteMs, [{ alarmId: skewed, severity: 'major', text: "its clock is more than a year ahead of the controller's" }]],
  ])('a clock that is %d ms off is an alarm, or none (F30)', async (offMs, expected) => {
    const site = await oneSite()
    await helloWithClock(site, offMs)
    expect(await standing('north')).toEqual(expected)
    const again = await site.message(site.helloBody())
    await receiveReports(controller.context(), [again])
    expect(await ids('north')).toEqual([])
  })

  test('a block of metrics that was under way for long says nothing about the clock, one from the future does', async () => {
    const site = await oneSite()
    const late = await site.message({ kind: 'metrics', block: blockAt(controller.clock.nowMs()), alarms: [] })
    controller.clock.advance(20 * minuteMs)
    await receiveReports(controller.context(), [late])
    expect(await ids('north')).toEqual([])
    const early = await site.message({ kind: 'metrics', block: blockAt(controller.clock.nowMs()), alarms: [] })
    controller.clock.advance(-10 * minuteMs)
    await receiveReports(controller.context(), [early])
    expect(await ids('north')).toEqual([skewed])
  })

  test('an agent that has no protocol version in common with the controller is an alarm until it has', async () => {
    const site = await oneSite({ min: 90, max: 99 })
    expect(await standing('north')).toEqual([{ alarmId: tooOld, severity: 'major', text: 'its agent speaks protocol 90 to 99, this controller 1 to 2: the controller is too old' }])
    site.protocol = { min: 1, max: 2 }
    await site.connect()
    expect(await ids('north')).toEqual([])
  })
})

describe('links of the controller', () => {
  const fleetAlarms = () => ids(fleetSite)
  const run = () => watchLinks(controller.context())

  test('a store that does not answer twice in a row is an alarm until it answers', async () => {
    const { store } = controller.deps
    const away = { ...controller.context(), store: { ...store, head: () => Promise.reject(new Error('connection refused')) } }
    await watchLinks(away)
    expect(await fleetAlarms()).toEqual([])
    await watchLinks(away)
    await Promise.all([watchLinks(away), watchLinks(away)])
    expect(await standing(fleetSite)).toEqual([{ alarmId: '400.002', severity: 'critical', text: 'connection refused' }])
    expect(await changes(fleetSite, '400.002')).toEqual(['raised'])
    await run()
    expect(await fleetAlarms()).toEqual([])
    expect(await rowsChanged(run)).toBe(0)
  })

  test('a broker that cannot be reached twice in a row is an alarm though nothing waits for it, where a connection is kept', async () => {
    const { broker, config } = controller.deps
    let fault: string | null = 'connection refused'
    const away = { ...controller.context(), broker: { ...broker, publish: async () => new Set<string>(), fault: () => fault } }
    await watchLinks(away)
    expect(await fleetAlarms()).toEqual([])
    await watchLinks(away)
    expect(await standing(fleetSite)).toEqual([{ alarmId: '400.003', severity: 'critical', text: 'connection refused' }])
    fault = null
    await watchLinks(away)
    expect(await fleetAlarms()).toEqual([])
    const published: unknown[] = []
    await watchLinks({ ...away, config: { ...config, host: 'worker' }, broker: { ...away.broker, publish: async (messages) => (published.push(messages), new Set<string>()) } })
    expect(published).toEqual([])
  })

  test('a broker that takes nothing is an alarm until what waits has gone out', async () => {
    await enrolSites(controller, [{ id: 'north' }])
    const release = await addRelease(controller, '1.0.0')
    controller.broker.reachable = false
    await startRollout(controller, { name: 'r', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }] } })
    await run()
    expect(await fleetAlarms()).toEqual([])
    for (let i = 0; i < 4; i++) {
      controller.clock.advance(minuteMs)
      await tick(controller)
    }
    await run()
    expect(await fleetAlarms()).toEqual(['400.003'])
    controller.broker.reachable = true
    controller.clock.advance(minuteMs)
    await tick(controller)
    await run()
    expect(await fleetAlarms()).toEqual([])
  })
})
