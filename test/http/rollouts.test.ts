import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GuardLost } from '../../db/client.ts'
import { abortRollout } from '../../functions/rollout/abort.ts'
import { approveRollout } from '../../functions/rollout/approve.ts'
import { createRollout } from '../../functions/rollout/create.ts'
import { explainSite } from '../../functions/rollout/explain.ts'
import { pauseRollout } from '../../functions/rollout/pause.ts'
import { planRollout } from '../../functions/rollout/plan.ts'
import { resumeRollout } from '../../functions/rollout/resume.ts'
import { retryRollout } from '../../functions/rollout/retry.ts'
import { rollbackRollout } from '../../functions/rollout/rollback.ts'
import { waiveDeployments } from '../../functions/rollout/waive.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { removeSite } from '../../functions/site/remove.ts'
import { updateSite } from '../../functions/site/update.ts'
import { siteJoined } from '../../functions/rollout/join.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, enrolSites, look, operator, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'

const names = (n: number) => Array.from({ length: n }, (_, i) => ({ id: `s${String(i).padStart(2, '0')}` }))
const everyone = { all: true } as const
const oneWave = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 100 }

let controller: Controller
beforeEach(async () => {
  controller = await startController()
})
afterEach(async () => {
  await expectCountersToBeRight()
  controller.close()
})

/** SPEC I12, after every test of this file. */
async function expectCountersToBeRight(): Promise<void> {
  const counted = await controller.db.orm.all(sql`SELECT rollout_id, wave, grp, state, n FROM counter WHERE n <> 0 ORDER BY 1, 2, 3, 4`)
  const recounted = await controller.db.orm.all(sql`SELECT rollout_id, wave, grp, state, count(*) AS n FROM deployment GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`)
  expect(counted).toEqual(recounted)
}

const fleetOf = async (n: number) => [...(await enrolSites(controller, names(n))).values()]
const byId = (sites: readonly PracticeSite[]) => new Map(sites.map((s) => [s.id as string, s]))

describe('a rollout', () => {
  test('goes canary, ramp, rest by default and ends with every site on the release', async () => {
    const fleet = await enrolSites(controller, names(20))
    const release = await addRelease(controller, '1.0.0')
    const created = await startRollout(controller, { name: 'first', target: { release: release.id }, selector: everyone })
    expect(created.waves.map((w) => [w.name, w.members, w.state])).toEqual([['canary', 1, 'open'], ['ramp', 2, 'waiting'], ['rest', 17, 'waiting']])
    await runFleet(controller, fleet)
    const view = await look(controller, created.id)
    expect(view.state).toBe('completed')
    expect(view.counts).toEqual({ succeeded: 20 })
    expect([...fleet.values()].every((s) => s.running?.digest === release.digest)).toBe(true)
  })

  test('keeps at most maxParallel in flight, and the next starts when one ends (I7)', async () => {
    const sites = await fleetOf(10)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 3 } })
    expect((await look(controller, id)).counts).toEqual({ granted: 3, pending: 7 })
    const granted = []
    for (const site of sites) if ((await site.takeGrant()) !== null) granted.push(site)
    await granted[0]!.end('succeeded')
    expect((await look(controller, id)).counts).toEqual({ granted: 3, pending: 6, succeeded: 1 })
  })

  test('that could not be begun at once is there all the same, and is begun by the schedule: whoever asked must not ask twice', async () => {
    await fleetOf(2)
    const release = await addRelease(controller, '1.0.0')
    const { write } = controller.db
    const ctx = operator(controller)
    const failing: typeof ctx = { ...ctx, db: { ...controller.db, write: (statements, guards) => (statements.some((each) => each.sql.startsWith('INSERT INTO rollout ')) ? write(statements, guards) : Promise.reject(new GuardLost())) } }
    const created = await createRollout(failing, RolloutRequest.parse({ name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave }))
    expect(created).toMatchObject({ state: 'scheduled', members: 2 })
    await tick(controller)
    expect((await look(controller, created.id)).counts).toMatchObject({ granted: expect.any(Number) })
  })

  test('with groupBy keeps the limit of each group too, and does not starve the others', async () => {
    const fleet = await enrolSites(controller, names(12).map((s, i) => ({ ...s, labels: { zone: i < 9 ? 'a' : 'b' } })))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, groupBy: { label: 'zone', maxParallel: 2 } } })
    expect((await look(controller, id)).counts).toEqual({ granted: 4, pending: 8 })
    await runFleet(controller, fleet)
    expect((await look(controller, id)).state).toBe('completed')
  })

  test('whose canary fails stops before the next wave starts (I13)', async () => {
    const fleet = await enrolSites(controller, names(10))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'bad', target: { release: release.id }, selector: everyone })
    await runFleet(controller, fleet, () => 'rolled-back')
    const view = await look(controller, id)
    expect(view.counts).toEqual({ 'rolled-back': 1, pending: 9 })
    expect(view.pauses.map((p) => p.reason)).toEqual(['threshold'])
  })

  test('whose canary is parked waits for it, and goes on without only when a person says so', async () => {
    const fleet = await enrolSites(controller, [{ id: 'canary', labels: { tier: 'canary' }, offline: true }, ...names(2)])
    const release = await addRelease(controller, '1.0.0')
    const waves = [{ name: 'canary', size: 1, barrier: true, selector: { matchLabels: { tier: 'canary' } } }, { name: 'rest', size: 'rest' as const }]
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 5 } })
    expect(await look(controller, id)).toMatchObject({ counts: { parked: 1, pending: 2 }, pauses: [], waves: [{ waitingFor: [{ code: 'no-success' }] }, {}] })
    await waiveDeployments(operator(controller), id, { sites: ['canary'], reason: 'it is gone', ifMatch: null })
    expect((await look(controller, id)).pauses.map((p) => p.reason)).toEqual(['threshold'])
    await approveRollout(operator(controller), id, { reason: 'go without', ifMatch: null })
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { skipped: 1, succeeded: 2 } })
  })

  test('of which everybody was overtaken ends', async () => {
    await enrolSites(controller, names(3).map((s) => ({ ...s, offline: true })))
    await addRelease(controller, '1.0.0')
    await addRelease(controller, '2.0.0')
    const { id } = await startRollout(controller, { name: 'old', target: { release: 'app@1.0.0' }, selector: everyone })
    await startRollout(controller, { name: 'new', target: { release: 'app@2.0.0' }, selector: everyone, replaces: [id] })
    await tick(controller)
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { superseded: 3 }, pauses: [] })
  })

  test('pauses on its failure threshold, and resuming acknowledges the failures', async () => {
    const fleet = await enrolSites(controller, names(10))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 1, failureThreshold: { value: 2 } } })
    let failures = 2
    const outcome = () => (failures-- > 0 ? 'rolled-back' : 'succeeded')
    await runFleet(controller, fleet, outcome)
    const paused = await look(controller, id)
    expect(paused.pauses).toEqual([{ reason: 'failures', detail: '2 of 2 sites that ended in wave all failed; the limit is 2' }])
    expect(paused.counts).toEqual({ 'rolled-back': 2, pending: 8 })
    await resumeRollout(operator(controller), id, { reason: 'seen', ifMatch: null })
    await tick(controller)
    await runFleet(controller, fleet)
    expect((await look(controller, id)).counts).toEqual({ 'rolled-back': 2, succeeded: 8 })
    expect((await look(controller, id)).state).toBe('completed')
  })

  test('retries failed sites by itself as often as the policy says, and these do not count as failures', async () => {
    const fleet = await enrolSites(controller, names(2))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, retries: 1, retryDelay: '5m', failureThreshold: { value: 1 } } })
    let first = true
    await runFleet(controller, fleet, () => (first ? ((first = false), 'failed') : 'succeeded'))
    expect((await look(controller, id)).counts).toEqual({ pending: 1, succeeded: 1 })
    controller.clock.advance(5 * 60_000)
    await tick(controller)
    await runFleet(controller, fleet)
    expect((await look(controller, id)).counts).toEqual({ succeeded: 2 })
  })

  test('parks sites that are offline at their turn, completes without them, and lets them catch up under the same places', async () => {
    const fleet = await enrolSites(controller, names(6).map((s, i) => ({ ...s, offline: i >= 3 })))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 1 } })
    await runFleet(controller, fleet)
    const view = await look(controller, id)
    expect([view.state, view.counts]).toEqual(['completed', { succeeded: 3, parked: 3 }])
    for (const site of fleet.values()) if (site.connection === 0) await site.connect()
    expect((await look(controller, id)).counts).toMatchObject({ granted: 1 })
    await runFleet(controller, fleet)
    expect([(await look(controller, id)).state, (await look(controller, id)).counts]).toEqual(['completed', { succeeded: 6 }])
  })

  test('lets two hundred parked sites that come back at once start as few at a time as ever', async () => {
    const many = Array.from({ length: 200 }, (_, i) => ({ id: `p${i}`, offline: true }))
    const fleet = await enrolSites(controller, [{ id: 'here' }, ...many])
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 7 } })
    await runFleet(controller, new Map([['here', fleet.get('here')!]]))
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { parked: 200, succeeded: 1 } })
    const hellos = await Promise.all(many.map(({ id: site }) => fleet.get(site)!.message(fleet.get(site)!.helloBody())))
    await receiveReports(controller.context(), hellos)
    expect((await look(controller, id)).counts).toMatchObject({ granted: 7 })
    const grants = controller.broker.messages.filter((message) => message.topic.endsWith('/grant'))
    expect(grants).toHaveLength(8)
  }, 30_000)

  test('gives up parked sites when their time is over', async () => {
    await enrolSites(controller, [{ id: 'here' }, { id: 'away', offline: true }])
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: { sites: ['away'] }, policy: { ...oneWave, parkedFor: '10d' } })
    expect((await look(controller, id)).counts).toEqual({ parked: 1 })
    controller.clock.advance(10 * 86_400_000 + 1)
    await tick(controller)
    expect((await look(controller, id)).counts).toEqual({ skipped: 1 })
  })

  test('frees the place of a silent site only after startBy + maxDuration + margin, and then calls it unknown', async () => {
    const [site] = await fleetOf(2)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 1, startWithin: '10m', maxDuration: '20m', failureThreshold: { value: 5 } } })
    controller.clock.advance(30 * 60_000 + 59_000)
    await tick(controller)
    expect((await look(controller, id)).counts).toEqual({ granted: 1, pending: 1 })
    controller.clock.advance(1000)
    await tick(controller)
    expect((await look(controller, id)).counts).toEqual({ unknown: 1, granted: 1 })
    expect(site).toBeDefined()
  })

  test('believes a lost site that comes back and says that it has succeeded', async () => {
    const [site] = await fleetOf(1)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await site!.takeGrant()
    controller.clock.advance(2 * 3_600_000)
    await tick(controller)
    expect((await look(controller, id)).counts).toEqual({ unknown: 1 })
    await site!.end('succeeded')
    expect((await look(controller, id)).counts).toEqual({ succeeded: 1 })
  })

  test('waits for each window in the site’s own time zone', async () => {
    // 12:00 UTC: in the window of Tokyo (21:00 there), not of New York (08:00)
    const windows = [{ cron: '0 21 * * *', duration: 3_600_000 }]
    const fleet = await enrolSites(controller, [{ id: 'tokyo', timeZone: 'Asia/Tokyo', windows }, { id: 'york', timeZone: 'America/New_York', windows }])
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    expect(await runFleet(controller, fleet)).toEqual(['tokyo'])
    const { rollouts } = await explainSite(controller.context(), 'york')
    expect(rollouts[0]!.blockers[0]).toMatchObject({ code: 'window', endsAt: '2026-06-02T01:00:00.000Z' })
    controller.clock.advance(13 * 3_600_000)
    await tick(controller)
    expect(await runFleet(controller, fleet)).toEqual(['york'])
    expect((await look(controller, id)).state).toBe('completed')
  })

  test('looks again at a site whose windows were changed, and skips one that was removed', async () => {
    const windows = [{ cron: '0 3 * * *', duration: 3_600_000 }]
    const fleet = await enrolSites(controller, [{ id: 'one', windows }, { id: 'two', windows }])
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    expect((await look(controller, id)).counts).toEqual({ pending: 2 })
    await updateSite(operator(controller), 'one', { windows: [], ifMatch: null })
    await removeSite(operator(controller), 'two', { ifMatch: null })
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { succeeded: 1, skipped: 1 } })
  })

  test('starts when it is scheduled, not before', async () => {
    await fleetOf(1)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, startAt: '2026-06-01T13:00:00Z' } })
    await tick(controller)
    expect((await look(controller, id)).state).toBe('scheduled')
    controller.clock.advance(3_600_000)
    await tick(controller)
    expect((await look(controller, id)).counts).toEqual({ granted: 1 })
  })

  test('soaks and waits for approval at a barrier', async () => {
    const fleet = await enrolSites(controller, names(3))
    const release = await addRelease(controller, '1.0.0')
    const waves = [{ name: 'canary', size: 1, soak: '1h', approval: true }, { name: 'rest', size: 'rest' as const }]
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { waves, maxParallel: 10 } })
    await runFleet(controller, fleet)
    expect((await look(controller, id)).waves[0]!.waitingFor.map((b) => b.code)).toEqual(['soak', 'approval'])
    await approveRollout(operator(controller), id, { reason: 'looks well', ifMatch: null })
    expect((await look(controller, id)).waves[0]!.waitingFor.map((b) => b.code)).toEqual(['soak'])
    controller.clock.advance(3_600_000)
    await tick(controller)
    await runFleet(controller, fleet)
    expect((await look(controller, id)).state).toBe('completed')
  })
})

describe('an operator', () => {
  test('pauses: no new grants while sites in flight go on', async () => {
    const fleet = await enrolSites(controller, names(4))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 1 } })
    await pauseRollout(operator(controller), id, { reason: 'lunch', ifMatch: null })
    expect(await runFleet(controller, fleet)).toHaveLength(1)
    expect((await look(controller, id)).counts).toEqual({ succeeded: 1, pending: 3 })
    await resumeRollout(operator(controller), id, { reason: '', ifMatch: null })
    await tick(controller)
    expect(await runFleet(controller, fleet)).toHaveLength(3)
  })

  test('aborts with revert, and each site in flight acknowledges', async () => {
    const sites = await fleetOf(3)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 2 } })
    const granted = []
    for (const site of sites) if ((await site.takeGrant()) !== null) granted.push(site)
    await abortRollout(operator(controller), id, { mode: 'revert', reason: 'bad', ifMatch: null })
    await tick(controller)
    expect(await look(controller, id)).toMatchObject({ state: 'aborting', counts: { granted: 2, cancelled: 1 }, abort: { mode: 'revert', inFlight: 2, acknowledged: 0 } })
    for (const site of granted) {
      const command = (await site.directives('command')).at(-1)!
      expect(command.body).toMatchObject({ type: 'abort', mode: 'revert' })
      await site.say({ kind: 'answer', command: command.id, result: 'done', detail: '' })
      await site.end('aborted')
    }
    expect(await look(controller, id)).toMatchObject({ state: 'aborted', counts: { cancelled: 3 }, abort: { inFlight: 0, acknowledged: 2 } })
  })

  test('is refused a revert where the release cannot be undone', async () => {
    await fleetOf(1)
    const component = { name: 'fw', version: '2', config: { driver: 'script', apply: 'flash', irreversible: true }, tree: { digest: '0'.repeat(63) + '1', listingBytes: 1, size: 1, files: 1 } } as const
    const release = await addRelease(controller, '2.0.0', { components: [component as never] })
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await expect(abortRollout(operator(controller), id, { mode: 'revert', reason: '', ifMatch: null })).rejects.toMatchObject({ code: 'conflict', reason: 'irreversible' })
  })

  test('retries the failed, and waives what needs hands so that its place is free', async () => {
    const fleet = await enrolSites(controller, names(3))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: { ...oneWave, maxParallel: 1, failureThreshold: { value: 9 } } })
    const first = [...fleet.values()]
    const broken = (await Promise.all(first.map(async (s) => ((await s.directives('grant')).length > 0 ? s : null)))).find((s) => s !== null)!
    await broken.comply(() => 'needs-hands')
    expect((await look(controller, id)).counts).toEqual({ 'needs-hands': 1, pending: 2 })
    await waiveDeployments(operator(controller), id, { sites: [broken.id], reason: 'will be replaced', ifMatch: null })
    await tick(controller)
    await runFleet(controller, fleet, () => 'failed')
    expect((await look(controller, id)).counts).toEqual({ skipped: 1, failed: 2 })
    expect((await retryRollout(operator(controller), id, { reason: '', ifMatch: null })).retried).toBe(2)
    await tick(controller)
    await runFleet(controller, fleet)
    expect((await look(controller, id)).counts).toEqual({ skipped: 1, succeeded: 2 })
  })

  test('rolls back: each site returns to what it was granted from; untouched sites and those that moved on are left', async () => {
    const fleet = await enrolSites(controller, names(4))
    const one = await addRelease(controller, '1.0.0')
    const two = await addRelease(controller, '2.0.0')
    await startRollout(controller, { name: 'one', target: { release: one.id }, selector: everyone, policy: oneWave })
    await runFleet(controller, fleet)
    const { id } = await startRollout(controller, { name: 'two', target: { release: two.id }, selector: { sites: ['s00', 's01', 's02'] }, policy: oneWave })
    await runFleet(controller, fleet)
    fleet.get('s02')!.running = { id: 'app@3.0.0', digest: 'f'.repeat(64) } as never
    await fleet.get('s02')!.connect()
    const back = await rollbackRollout(operator(controller), id, { reason: 'regret', ifMatch: null })
    await tick(controller)
    expect((await fleet.get('s00')!.directives('desired')).at(-1)).toMatchObject({ back: true, release: { id: 'app@1.0.0' } })
    await runFleet(controller, fleet)
    expect((await look(controller, back.id)).counts).toEqual({ succeeded: 2, skipped: 1 })
    expect([...fleet.values()].map((s) => s.running?.id)).toEqual(['app@1.0.0', 'app@1.0.0', 'app@3.0.0', 'app@1.0.0'])
  })

  test('sees in the plan what would happen, and nothing is written', async () => {
    await enrolSites(controller, [...names(5), { id: 'away', offline: true }])
    await addRelease(controller, '1.0.0')
    const before = await controller.db.orm.all(sql`SELECT (SELECT count(*) FROM rollout) + (SELECT count(*) FROM deployment) + (SELECT count(*) FROM directive) AS n`)
    const plan = await planRollout(operator(controller), RolloutRequest.parse({ name: 'p', target: { release: 'app@1.0.0' }, selector: everyone }))
    expect(plan.waves.map((w) => w.sites.length)).toEqual([1, 1, 4])
    expect(plan.blocked).toEqual([{ site: 'away', blockers: [expect.objectContaining({ code: 'offline' })] }])
    expect(plan.bytes).toEqual({ perSiteMax: 1000, total: 6000 })
    expect(await controller.db.orm.all(sql`SELECT (SELECT count(*) FROM rollout) + (SELECT count(*) FROM deployment) + (SELECT count(*) FROM directive) AS n`)).toEqual(before)
  })

  test('cannot select every site by saying nothing (I11, F77)', async () => {
    await fleetOf(2)
    await addRelease(controller, '1.0.0')
    await expect(startRollout(controller, { name: 'x', target: { release: 'app@1.0.0' }, selector: {} })).rejects.toMatchObject({ code: 'unprocessable', reason: 'selects-nothing' })
  })

  test('sees sites without a path skipped before anything moves', async () => {
    const fleet = await enrolSites(controller, names(2))
    await addRelease(controller, '1.0.0')
    await addRelease(controller, '3.0.0', { requires: '>=2.0.0' })
    await startRollout(controller, { name: 'one', target: { release: 'app@1.0.0' }, selector: { sites: ['s00'] }, policy: oneWave })
    await runFleet(controller, fleet)
    const view = await startRollout(controller, { name: 'three', target: { release: 'app@3.0.0' }, selector: everyone, policy: oneWave })
    expect(view.counts).toEqual({ granted: 1, skipped: 1 })
  })
})

describe('two rollouts that want one site', () => {
  test('go one after the other, by priority, and never at once (I14)', async () => {
    const fleet = await enrolSites(controller, names(1))
    await addRelease(controller, '1.0.0')
    await addRelease(controller, '2.0.0')
    await addRelease(controller, '3.0.0')
    const first = await startRollout(controller, { name: 'a', target: { release: 'app@1.0.0' }, selector: everyone, policy: oneWave })
    const low = await startRollout(controller, { name: 'b', target: { release: 'app@2.0.0' }, selector: everyone, policy: oneWave })
    const high = await startRollout(controller, { name: 'c', target: { release: 'app@3.0.0' }, selector: everyone, policy: { ...oneWave, priority: 5 } })
    await runFleet(controller, fleet)
    expect((await look(controller, first.id)).counts).toEqual({ succeeded: 1 })
    expect((await look(controller, high.id)).counts).toEqual({ succeeded: 1 })
    // 3.0.0 runs now, and 2.0.0 would be a step back
    expect((await look(controller, low.id)).counts).toEqual({ skipped: 1 })
  })

  test('supersede the unstarted where the newer one says so', async () => {
    const fleet = await enrolSites(controller, names(3))
    await addRelease(controller, '1.0.0')
    await addRelease(controller, '2.0.0')
    const old = await startRollout(controller, { name: 'old', target: { release: 'app@1.0.0' }, selector: everyone, policy: { ...oneWave, maxParallel: 1 } })
    await startRollout(controller, { name: 'new', target: { release: 'app@2.0.0' }, selector: everyone, policy: oneWave, replaces: 'all' })
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await look(controller, old.id)).toMatchObject({ state: 'completed', counts: { succeeded: 1, superseded: 2 } })
    expect([...fleet.values()].map((s) => s.running?.id)).toEqual(['app@2.0.0', 'app@2.0.0', 'app@2.0.0'])
  })
})

describe('joiners', () => {
  test('enter the last open wave of a standing rollout, also after it has completed', async () => {
    const fleet = await enrolSites(controller, names(2))
    await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'standing', target: { release: 'app@1.0.0' }, selector: everyone, policy: { ...oneWave, joiners: 'include' } })
    await runFleet(controller, fleet)
    expect((await look(controller, id)).state).toBe('completed')
    const [late] = [...(await enrolSites(controller, [{ id: 'late' }])).values()]
    await siteJoined(controller.context(), 'late')
    await tick(controller)
    await runFleet(controller, byId([late!]))
    expect(late!.running?.id).toBe('app@1.0.0')
    expect(await look(controller, id)).toMatchObject({ state: 'completed', members: 3, counts: { succeeded: 3 } })
  })
})

describe('a site that was replaced', () => {
  test('is given again what it ran, by the rollout that brought it', async () => {
    const fleet = await enrolSites(controller, names(2))
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await runFleet(controller, fleet)
    const site = fleet.get('s00')!
    // what an enrolment writes
    await controller.db.write([{ sql: `UPDATE site SET incarnation = 2, running = NULL, previous = NULL, hello_seq = 0, running_seq = 0, presence = 'unknown' WHERE id = 's00'`, args: [] }])
    Object.assign(site, { incarnation: 2, seq: 0, boot: 9, running: null, previous: null, attempt: null, held: { desired: null, newest: null } })
    await siteJoined(controller.context(), 's00')
    expect((await look(controller, id)).counts).toEqual({ pending: 1, succeeded: 1 })
    await site.connect()
    await runFleet(controller, fleet)
    expect(site.running?.id).toBe('app@1.0.0')
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { succeeded: 2 } })
    expect((await site.directives('grant')).at(-1)).toMatchObject({ incarnation: 2, attempt: 2 })
  })
})

describe('a standing rollout', () => {
  test('stands no longer once another has replaced it', async () => {
    const fleet = await enrolSites(controller, names(1))
    await addRelease(controller, '1.0.0')
    await addRelease(controller, '2.0.0')
    const old = await startRollout(controller, { name: 'old', target: { release: 'app@1.0.0' }, selector: everyone, policy: { ...oneWave, joiners: 'include' } })
    await runFleet(controller, fleet)
    await startRollout(controller, { name: 'new', target: { release: 'app@2.0.0' }, selector: everyone, policy: oneWave, replaces: [old.id] })
    expect((await look(controller, old.id)).state).toBe('superseded')
    await enrolSites(controller, [{ id: 'late' }])
    await siteJoined(controller.context(), 'late')
    expect((await explainSite(controller.context(), 'late')).rollouts).toEqual([])
  })
})

describe('reports', () => {
  test('repeated and reordered change nothing twice (I8, F36, F49)', async () => {
    const [site] = await fleetOf(1)
    const release = await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    await site!.takeGrant()
    const started = await site!.message({ kind: 'progress', attempt: site!.attempt!, running: null, previous: null, nodes: [] })
    const ended = await site!.message({ kind: 'progress', attempt: { ...site!.attempt!, phase: 'ended', outcome: 'succeeded' }, running: release, previous: null, nodes: [] })
    await receiveReports(controller.context(), [ended, ended, started])
    await receiveReports(controller.context(), [started])
    await receiveReports(controller.context(), [ended])
    expect((await look(controller, id)).counts).toEqual({ succeeded: 1 })
    const entries = await controller.db.orm.all<{ n: number }>(sql`SELECT count(*) AS n FROM audit WHERE action LIKE 'deployment.s%'`)
    expect(entries).toEqual([{ n: 1 }])
  })

  test('of one site about another are refused (F40)', async () => {
    const [site, other] = await fleetOf(2)
    const mine = await site!.message(site!.helloBody())
    const result = await receiveReports(controller.context(), [{ ...mine, topic: mine.topic.replace(site!.id, other!.id) }, { ...mine, payload: new Uint8Array([1, 2, 3]) }, mine])
    expect(result).toEqual({ accepted: 1, refused: [{ index: 0, reason: 'about another site than its topic' }, { index: 1, reason: 'not UTF-8 JSON' }] })
  })

  test('a goodbye of an older connection changes nothing (I10)', async () => {
    const [site] = await fleetOf(1)
    const will = await site!.message({ kind: 'gone', connectionId: site!.connectionId })
    await site!.connect()
    await receiveReports(controller.context(), [will])
    expect(await controller.db.orm.all(sql`SELECT presence FROM site`)).toEqual([{ presence: 'online' }])
    await site!.disconnect()
    expect(await controller.db.orm.all(sql`SELECT presence FROM site`)).toEqual([{ presence: 'offline' }])
  })

  test('a hello gets the grant again that the site never saw, with its new boot, at a higher position', async () => {
    const [site] = await fleetOf(1)
    const release = await addRelease(controller, '1.0.0')
    await startRollout(controller, { name: 'r', target: { release: release.id }, selector: everyone, policy: oneWave })
    const before = (await site!.directives('grant')).at(-1)!
    site!.boot++
    await site!.connect()
    const after = (await site!.directives('grant')).at(-1)!
    expect(after).toMatchObject({ attempt: before.attempt, startByMs: before.startByMs, bootId: site!.bootId })
    expect(after.position.generation).toBeGreaterThan(before.position.generation)
    expect(after.desired).toEqual((await site!.directives('desired')).at(-1)!.position)
  })

  test('of a site that holds a newer position lift the controller above it (F58)', async () => {
    const [site] = await fleetOf(1)
    await addRelease(controller, '1.0.0')
    site!.held = { desired: { epoch: 3, generation: 70 }, newest: { epoch: 3, generation: 71 } }
    await site!.connect()
    await startRollout(controller, { name: 'r', target: { release: 'app@1.0.0' }, selector: everyone, policy: oneWave })
    const { position } = (await site!.directives('grant')).at(-1)!
    expect([position.epoch, position.generation > 71]).toEqual([3, true])
    // and what was given out below that goes out again above it
    site!.held = { desired: { epoch: 4, generation: 8 }, newest: { epoch: 4, generation: 9 } }
    await site!.connect()
    const grant = (await site!.directives('grant')).at(-1)!
    const desired = (await site!.directives('desired')).at(-1)!
    expect([grant.position, grant.desired, desired.position, grant.attempt]).toEqual([{ epoch: 4, generation: 11 }, { epoch: 4, generation: 10 }, { epoch: 4, generation: 10 }, 1])
    expect(await site!.comply()).toBe(true)
  })

  test('of a site whose bytes travelled ahead get a grant for the desired that stands', async () => {
    const [site] = await fleetOf(1)
    await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: 'app@1.0.0' }, selector: everyone, policy: { ...oneWave, staging: 'ahead', retries: 1, retryDelay: 0 } })
    const [desired, ...more] = await site!.directives('desired')
    expect([desired!.staging, more]).toEqual(['ahead', []])
    expect((await site!.directives('grant')).map((grant) => grant.desired)).toEqual([desired!.position])
    await site!.comply(() => 'failed')
    await tick(controller)
    expect((await site!.directives('grant')).map((grant) => [grant.desired, grant.attempt])).toEqual([[desired!.position, 1], [desired!.position, 2]])
    expect(await site!.directives('desired')).toHaveLength(1)
    expect((await look(controller, id)).counts).toEqual({ granted: 1 })
  })

  test('that a grant ran out unstarted bring the site to another attempt, and no failure is counted', async () => {
    const [site] = await fleetOf(1)
    await addRelease(controller, '1.0.0')
    const { id } = await startRollout(controller, { name: 'r', target: { release: 'app@1.0.0' }, selector: everyone, policy: oneWave })
    const grant = (await site!.directives('grant')).at(-1)!
    await site!.say({ kind: 'rejected', reason: 'expired', directive: 'grant', position: grant.position, held: grant.position, deployment: grant.deployment, attempt: 1, detail: 'too late' })
    expect((await look(controller, id)).counts).toEqual({ pending: 1 })
    controller.clock.advance(10_000)
    await tick(controller)
    expect((await site!.directives('grant')).at(-1)!.attempt).toBe(2)
  })
})
