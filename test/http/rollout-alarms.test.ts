import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { endShelves } from '../../functions/alarm/end-shelves.ts'
import { abortRollout } from '../../functions/rollout/abort.ts'
import { explainSite } from '../../functions/rollout/explain.ts'
import { pauseRollout } from '../../functions/rollout/pause.ts'
import { resumeRollout } from '../../functions/rollout/resume.ts'
import { retryRollout } from '../../functions/rollout/retry.ts'
import { siteJoined } from '../../functions/rollout/join.ts'
import { tickRollouts } from '../../functions/rollout/tick.ts'
import { waiveDeployments } from '../../functions/rollout/waive.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Severity } from '../../protocol/states.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, enrolSites, look, operator, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'

const everyone = { all: true } as const
const minuteMs = 60_000
const component = { alarmId: '120.003', entity: 'node=a.component=app' }

let controller: Controller
beforeEach(async () => {
  controller = await startController()
})
afterEach(() => controller.close())

/** Standing alarms as `id entity at site`, of the controller's own making or of all. */
async function standing(source: 'controller' | '%' = 'controller'): Promise<string[]> {
  const rows = await controller.db.orm.all<{ alarm_id: string; entity: string; site_id: string }>(sql`SELECT alarm_id, entity, site_id FROM alarm WHERE cleared_ms IS NULL AND source LIKE ${source} ORDER BY 1, 2, 3`)
  return rows.map(({ alarm_id, entity, site_id }) => `${alarm_id} ${entity} at ${site_id}`)
}
const eventsOf = async (alarmId: string): Promise<string[]> => (await controller.db.orm.all<{ change: string }>(sql`SELECT change FROM alarm_event WHERE alarm_id = ${alarmId} ORDER BY seq`)).map(({ change }) => change)

const say = (site: PracticeSite, raised: boolean, severity: Severity = 'critical', text = 'it does not answer'): Promise<void> => site.say({ kind: 'alarm', ...component, raised, severity, text })

/** A rollout whose canary has succeeded and soaks; the others wait. */
async function canaryDone(policy: Record<string, unknown> = {}): Promise<{ id: string; canary: PracticeSite; fleet: Map<string, PracticeSite> }> {
  const fleet = await enrolSites(controller, ['s0', 's1', 's2', 's3'].map((id) => ({ id })))
  const release = await addRelease(controller, '1.0.0')
  const waves = [{ name: 'canary', size: 1, barrier: true, soak: '15m' }, { name: 'rest', size: 'rest' as const }]
  const { id } = await startRollout(controller, { name: 'new shop', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 10, ...policy } })
  const [canary] = await runFleet(controller, fleet)
  return { id, canary: fleet.get(canary!)!, fleet }
}
async function afterSoak(id: string): Promise<RolloutView> {
  controller.clock.advance(15 * minuteMs)
  await tick(controller)
  return look(controller, id)
}

describe('a gating alarm at a site that a rollout has changed', () => {
  test('pauses the rollout at once, with the alarm as its reason, and no other site is touched (F59)', async () => {
    const { id, canary } = await canaryDone()
    controller.clock.advance(minuteMs)
    await say(canary, true)
    const view = await look(controller, id)
    expect(view.pauses).toEqual([{ reason: 'alarm', detail: `critical alarm 120.003 (node=a.component=app) at ${canary.id}: it does not answer` }])
    expect(view.counts).toEqual({ succeeded: 1, pending: 3 })
    expect((await afterSoak(id)).counts).toEqual({ succeeded: 1, pending: 3 })
    expect(await standing()).toEqual([`300.001 rollout=${id} at _fleet`])
  })

  test('of a severity that does not gate, or where the policy does not look at alarms, keeps nobody', async () => {
    const { id, canary } = await canaryDone({ alarmGate: false })
    await say(canary, true)
    expect(await afterSoak(id)).toMatchObject({ pauses: [], counts: { succeeded: 1, granted: 3 } })
    const other = await startController()
    controller.close()
    controller = other
    const second = await canaryDone()
    await say(second.canary, true, 'major')
    expect(await afterSoak(second.id)).toMatchObject({ pauses: [], counts: { succeeded: 1, granted: 3 } })
  })

  test('is acknowledged by resuming, which goes on; one that is raised anew stops it again', async () => {
    const { id, canary, fleet } = await canaryDone()
    await say(canary, true)
    await resumeRollout(operator(controller), id, { reason: 'it is known', ifMatch: null })
    expect((await look(controller, id)).pauses).toEqual([])
    const [alarm] = (await controller.call('listAlarms', { query: { alarmId: '120.003', all: 'true' } })).body.items
    expect(alarm).toMatchObject({ state: 'acknowledged', acknowledged: { by: 'token:test', note: `rollout ${id} resumed` } })
    expect(await standing()).toEqual([])
    await say(canary, false)
    await say(canary, true)
    expect((await look(controller, id)).pauses.map(({ reason }) => reason)).toEqual(['alarm'])
    await resumeRollout(operator(controller), id, { reason: 'it is still known', ifMatch: null })
    await afterSoak(id)
    await runFleet(controller, fleet)
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { succeeded: 4 } })
    expect(await eventsOf('120.003')).toEqual(['raised', 'acknowledged', 'cleared', 'raised', 'acknowledged'])
    expect(await eventsOf('300.001')).toEqual(['raised', 'cleared', 'raised', 'cleared'])
  })

  test('that stood before the site was granted does not stop the rollout, and keeps the next wave shut until it is acknowledged or clears', async () => {
    const fleet = await enrolSites(controller, ['s0', 's1', 's2'].map((id) => ({ id })))
    for (const site of fleet.values()) await say(site, true)
    controller.clock.advance(minuteMs)
    const release = await addRelease(controller, '1.0.0')
    const waves = [{ name: 'canary', size: 1, barrier: true }, { name: 'rest', size: 'rest' as const }]
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 10 } })
    const [canary] = await runFleet(controller, fleet)
    expect(await look(controller, id)).toMatchObject({ pauses: [], counts: { succeeded: 1, pending: 2 }, waves: [{ waitingFor: [{ code: 'alarm' }] }, {}] })
    await controller.call('acknowledgeAlarm', { body: { site: canary!, ...component, note: 'it is old' } })
    await tick(controller)
    expect(await look(controller, id)).toMatchObject({ pauses: [], counts: { succeeded: 1, granted: 2 } })
  })

  test('that lies on the shelf, or is expected while the site is changed, stops nothing; one that has stayed after the change does', async () => {
    const fleet = await enrolSites(controller, ['s0', 's1', 's2'].map((id) => ({ id })))
    const release = await addRelease(controller, '1.0.0')
    const waves = [{ name: 'canary', size: 1, barrier: true, soak: '1h' }, { name: 'rest', size: 'rest' as const }]
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 10 } })
    const [canary] = (await Promise.all([...fleet.values()].map(async (site) => ((await site.takeGrant()) === null ? [] : [site])))).flat()
    await canary!.reportStart()
    await say(canary!, true)
    expect((await look(controller, id)).pauses).toEqual([])
    await canary!.end('succeeded')
    expect((await look(controller, id)).pauses.map(({ reason }) => reason)).toEqual(['alarm'])
    await resumeRollout(operator(controller), id, { reason: 'seen', ifMatch: null })
    await controller.call('shelveAlarm', { body: { site: canary!.id, ...component, duration: '2h', reason: 'known' } })
    await say(canary!, false)
    await say(canary!, true)
    controller.clock.advance(60 * minuteMs)
    await tick(controller)
    expect(await look(controller, id)).toMatchObject({ pauses: [], counts: { succeeded: 1, granted: 2 } })
  })

  test('that was lesser before the site was granted, and gates since, pauses the rollout too', async () => {
    const fleet = await enrolSites(controller, ['s0', 's1', 's2'].map((id) => ({ id })))
    for (const site of fleet.values()) await say(site, true, 'major')
    controller.clock.advance(minuteMs)
    const release = await addRelease(controller, '1.0.0')
    const waves = [{ name: 'canary', size: 1, barrier: true, soak: '1h' }, { name: 'rest', size: 'rest' as const }]
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 10 } })
    const [canary] = await runFleet(controller, fleet)
    expect((await look(controller, id)).pauses).toEqual([])
    controller.clock.advance(minuteMs)
    await say(fleet.get(canary!)!, true, 'critical')
    expect((await look(controller, id)).pauses).toEqual([{ reason: 'alarm', detail: `critical alarm 120.003 (node=a.component=app) at ${canary}: it does not answer` }])
    await resumeRollout(operator(controller), id, { reason: 'seen', ifMatch: null })
    expect(await look(controller, id)).toMatchObject({ pauses: [] })
    expect((await controller.call('listAlarms', { query: { gating: 'true', all: 'true' } })).body.items).toMatchObject([{ site: canary, state: 'acknowledged' }])
  })

  test('that comes back from the shelf stops the rollout at once', async () => {
    const { id, canary } = await canaryDone({ alarmGate: true })
    await say(canary, true, 'minor')
    await controller.call('shelveAlarm', { body: { site: canary.id, ...component, duration: '5m', reason: 'known' } })
    await say(canary, true)
    controller.clock.advance(5 * minuteMs)
    const { version } = await look(controller, id)
    await endShelves(controller.context())
    expect((await look(controller, id)).version).toBeGreaterThan(version)
    await tick(controller)
    expect((await look(controller, id)).pauses.map(({ reason }) => reason)).toEqual(['alarm'])
  })

  test('that came while a decision was being made keeps its grants from being given (I18)', async () => {
    const { id, canary } = await canaryDone()
    controller.clock.advance(15 * minuteMs)
    const { db } = controller.deps
    let granting = 0
    const write: typeof db.write = async (statements, guards) => {
      // the alarm lands after the grants were decided, and before they are given
      if (statements.some(({ sql: text }) => text.includes('INSERT INTO directive')) && granting++ === 0) await controller.call('raiseAlarm', { body: { site: canary.id, ...component, severity: 'critical', text: 'it does not answer' } })
      return db.write(statements, guards)
    }
    await tickRollouts({ ...controller.context(), db: { ...db, write } })
    expect(granting).toBe(1)
    expect(await look(controller, id)).toMatchObject({ counts: { succeeded: 1, pending: 3 }, pauses: [{ reason: 'alarm' }] })
  })

  test('does not stop a rollout that has nobody left to start', async () => {
    const { id, fleet } = await canaryDone()
    await afterSoak(id)
    await runFleet(controller, fleet)
    await say(fleet.get('s1')!, true)
    expect(await look(controller, id)).toMatchObject({ state: 'completed', pauses: [] })
    expect(await standing()).toEqual([])
  })

  test('raised by another tool stops it too', async () => {
    const { id, canary } = await canaryDone()
    controller.clock.advance(minuteMs)
    await controller.call('raiseAlarm', { body: { site: canary.id, alarmId: '900.001', entity: 'shop', severity: 'minor', text: 'customers complain', gating: true } })
    await tick(controller)
    expect((await look(controller, id)).pauses).toEqual([{ reason: 'alarm', detail: `minor alarm 900.001 (shop) at ${canary.id}: customers complain` }])
  })
})

describe('the alarm that a rollout waits for a person', () => {
  test('stands once, whatever pauses it, and not for a pause that a person made', async () => {
    const { id, canary } = await canaryDone()
    await pauseRollout(operator(controller), id, { reason: 'lunch', ifMatch: null })
    expect(await standing()).toEqual([])
    await say(canary, true)
    expect((await look(controller, id)).pauses.map(({ reason }) => reason)).toEqual(['operator', 'alarm'])
    expect(await standing()).toEqual([`300.001 rollout=${id} at _fleet`])
    // two ticks at once change nothing twice (F48)
    await Promise.all([tick(controller), tick(controller)])
    expect(await eventsOf('300.001')).toEqual(['raised'])
    await abortRollout(operator(controller), id, { mode: 'finish', reason: 'no', ifMatch: null })
    expect(await standing()).toEqual([])
  })
})

describe('a deployment that failed', () => {
  const oneWave = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 100, failureThreshold: { value: 100 } }
  async function failed(outcome: 'rolled-back' | 'needs-hands', ids = ['s0', 's1']): Promise<{ id: string; fleet: Map<string, PracticeSite> }> {
    const fleet = await enrolSites(controller, ids.map((id) => ({ id })))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await runFleet(controller, fleet, (site) => (site.id === 's0' ? outcome : 'succeeded'))
    return { id, fleet }
  }

  test('is an alarm of its site until another attempt succeeds', async () => {
    const { id, fleet } = await failed('rolled-back')
    expect(await standing()).toEqual([`300.002 rollout=${id} at s0`])
    const [alarm] = (await controller.call('listAlarms', { query: { site: 's0' } })).body.items
    expect(alarm).toMatchObject({ severity: 'major', text: 'app@1.0.0 rolled-back: it ended rolled-back', gating: false })
    // the site says it again with each hello: that is no news
    await fleet.get('s0')!.connect()
    expect(await eventsOf('300.002')).toEqual(['raised'])
    await retryRollout(operator(controller), id, { reason: 'again', ifMatch: null })
    expect(await standing()).toEqual([])
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await standing()).toEqual([])
    expect(await eventsOf('300.002')).toEqual(['raised', 'cleared'])
  })

  test('is one no more when a later rollout brought the site where it should be, or this one was given up', async () => {
    const { id, fleet } = await failed('rolled-back')
    controller.clock.advance(minuteMs)
    const release = await addRelease(controller, '2.0.0')
    const later = await startRollout(controller, { name: 'later', target: { release: release.id }, selector: everyone, policy: oneWave })
    await runFleet(controller, fleet, (site) => (site.id === 's1' ? 'failed' : 'succeeded'))
    expect(await standing()).toEqual([`300.002 rollout=${later.id} at s1`])
    await abortRollout(operator(controller), later.id, { mode: 'finish', reason: 'enough', ifMatch: null })
    expect(await standing()).toEqual([])
    expect((await look(controller, id)).counts).toEqual({ 'rolled-back': 1, succeeded: 1 })
  })

  test('and needs hands says so until hands have helped, or a person waives it; giving the rollout up does not mend the site', async () => {
    const { id, fleet } = await failed('needs-hands')
    expect(await standing()).toEqual([`300.003 rollout=${id} at s0`])
    await abortRollout(operator(controller), id, { mode: 'finish', reason: 'enough', ifMatch: null })
    expect(await standing()).toEqual([`300.003 rollout=${id} at s0`])
    await waiveDeployments(operator(controller), id, { sites: ['s0'], reason: 'seen to', ifMatch: null })
    expect(await standing()).toEqual([])
    expect(fleet.size).toBe(2)
  })

  test('because it fell silent is one too, and not when the site comes back and has succeeded', async () => {
    const fleet = await enrolSites(controller, [{ id: 's0' }])
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await fleet.get('s0')!.takeGrant()
    controller.clock.advance(3 * 60 * minuteMs)
    await tick(controller)
    expect(await standing()).toEqual([`300.002 rollout=${id} at s0`])
    await fleet.get('s0')!.end('succeeded')
    expect(await standing()).toEqual([])
  })

  test('at a site that was enrolled anew begins again without it', async () => {
    const { id } = await failed('rolled-back')
    await controller.db.write([{ sql: "UPDATE site SET running = NULL, desired_deployment = ? WHERE id = 's0'", args: [`${id}:s0`] }])
    await siteJoined(operator(controller), 's0')
    expect(await standing()).toEqual([])
  })
})

test('no deployment starts at a site where somebody works on a node, and it says who ends that', async () => {
  const fleet = await enrolSites(controller, [{ id: 's0' }, { id: 's1' }])
  const release = await addRelease(controller, '1.0.0')
  await controller.call('lockNode', { params: { site: 's0', node: 'node-1' }, body: { reason: 'a new disk' } })
  const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: 10 } })
  await runFleet(controller, fleet)
  expect((await look(controller, id)).counts).toEqual({ succeeded: 1, pending: 1 })
  expect((await explainSite(controller.context(), 's0')).rollouts[0]!.blockers).toMatchObject([{ code: 'locked', text: expect.stringContaining('a new disk'), endsBy: 'a person (murmur site unlock s0 node-1)' }])
  await controller.call('unlockNode', { params: { site: 's0', node: 'node-1' } })
  await tick(controller)
  await runFleet(controller, fleet)
  expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { succeeded: 2 } })
})
