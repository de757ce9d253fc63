import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { planText } from '../../cli/rollout/plan-text.ts'
import { renderChanges, renderRollout } from '../../cli/watch/render.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { explainSite } from '../../functions/rollout/explain.ts'
import { planRollout } from '../../functions/rollout/plan.ts'
import { retryRollout } from '../../functions/rollout/retry.ts'
import { getSite } from '../../functions/site/get.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import { controllerProtocols, protocolHeader } from '../../protocol/protocol-versions.ts'
import { callSigned, enrolBody, enrolledSite } from '../support/agent.ts'
import { makeKey, startController, type Controller } from '../support/controller.ts'
import { addRelease, enrolSites, look, operator, runFleet, startRollout, tick } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { announce, makeRelease } from '../support/release.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
})
afterEach(() => controller.close())

const everyone = { all: true } as const
const oneWave = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 100 }
const agentTree = { digest: '2'.repeat(64), listingBytes: 10, size: 500, files: 1 } as never
const fileTree = { digest: '1'.repeat(64), listingBytes: 10, size: 1000, files: 1 } as never

/** A release with files, and the site's agent where its protocols are given. */
const release = (version: string, protocolMin: number, agentMax?: number, more: Record<string, unknown> = {}) =>
  addRelease(controller, version, {
    protocolMin,
    components: [
      { name: 'app', version, config: { driver: 'files', target: '/opt/app' }, tree: fileTree },
      ...(agentMax === undefined ? [] : [{ name: 'agent', version, config: { driver: 'agent' as const, protocol: { min: 1, max: agentMax } }, tree: agentTree }]),
    ],
    ...more,
  })

/** Sites that run 1.0.0, with agents of these highest protocol versions. */
async function sitesOf(agents: Record<string, number>): Promise<Map<string, PracticeSite>> {
  const running = await release('1.0.0', 1)
  const fleet = await enrolSites(controller, Object.keys(agents).map((id) => ({ id })))
  for (const site of fleet.values()) {
    site.protocol = { min: 1, max: agents[site.id]! }
    site.running = running
    await site.connect()
  }
  return fleet
}

/** As an agent that a release has replaced: it connects anew and speaks what its successor speaks. */
async function renewAgent(site: PracticeSite, max: number): Promise<void> {
  site.protocol = { min: 1, max }
  site.boot++
  await site.connect()
}

const request = (more: Record<string, unknown> = {}) => RolloutRequest.parse({ name: 'three', target: { release: 'app@3.0.0' }, selector: everyone, policy: oneWave, ...more })
const firstOf = async (id: string) => (await look(controller, id)).after!

describe('agents first: a release needs a newer protocol than some agents speak', () => {
  test('the sites that need one get the newest release that brings it, and then the release itself', async () => {
    const fleet = await sitesOf({ old: 2, older: 2, new: 3 })
    await release('1.4.0', 2, 3)
    const step = await release('1.5.0', 2, 3)
    await release('1.6.0', 3, 3)
    await release('1.7.0', 2, 2)
    await release('3.0.0', 3)
    const main = await startRollout(controller, request())
    const first = await look(controller, (await firstOf(main.id)))
    expect(first).toMatchObject({ name: 'three: agents first', target: { release: step.id }, state: 'running', members: 2, after: null, counts: { granted: 2 } })
    expect(main).toMatchObject({ state: 'scheduled', members: 3, counts: { pending: 3 } })

    for (const id of ['old', 'older']) {
      expect(await fleet.get(id)!.comply()).toBe(true)
      await renewAgent(fleet.get(id)!, 3)
    }
    expect(await look(controller, first.id)).toMatchObject({ state: 'completed', counts: { succeeded: 2 } })
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await look(controller, main.id)).toMatchObject({ state: 'completed', counts: { succeeded: 3 } })
    expect([...fleet.values()].map((site) => site.running!.id)).toEqual(['app@3.0.0', 'app@3.0.0', 'app@3.0.0'])
    const [started] = await controller.db.orm.all<{ why: string }>(sql`SELECT why FROM audit WHERE action = 'rollout.start' AND entity = ${`rollout/${main.id}`}`)
    expect(started!.why).toBe(`rollout three: agents first (${first.id}), which brings the agents, is completed`)
  })

  test('agents too are updated in the waves of the policy: a canary that fails keeps the others from it, and the release from all', async () => {
    const fleet = await sitesOf({ a: 2, b: 2, c: 2, d: 3 })
    await release('1.5.0', 2, 3)
    await release('3.0.0', 3)
    const main = await startRollout(controller, request({ policy: {} }))
    const first = await firstOf(main.id)
    expect((await look(controller, first)).waves.map((w) => [w.name, w.members, w.state])).toEqual([['canary', 1, 'open'], ['ramp', 1, 'waiting'], ['rest', 1, 'waiting']])
    await runFleet(controller, fleet, () => 'rolled-back')
    await tick(controller)
    expect(await look(controller, first)).toMatchObject({ counts: { 'rolled-back': 1, pending: 2 }, pauses: [{ reason: 'threshold' }] })
    expect(await look(controller, main.id)).toMatchObject({ state: 'scheduled', counts: { pending: 4 } })
    expect((await explainSite(controller.context(), 'd')).rollouts[0]!.blockers[0]).toMatchObject({ code: 'agents-first', endsBy: `rollout ${first}` })
  })

  test('a site whose agent could not be replaced is skipped in the end, not counted as a failure, and says why', async () => {
    const fleet = await sitesOf({ a: 2, b: 3 })
    await release('1.5.0', 2, 3)
    await release('3.0.0', 3)
    const main = await startRollout(controller, request())
    await runFleet(controller, fleet, (site) => (site.id === 'a' ? 'rolled-back' : 'succeeded'))
    await tick(controller)
    await runFleet(controller, fleet)
    expect(await look(controller, main.id)).toMatchObject({ state: 'completed', counts: { skipped: 1, succeeded: 1 }, pauses: [] })
    expect((await explainSite(controller.context(), 'a')).summary).toContain('app@3.0.0 needs an agent of protocol 3, the site has 2')
  })

  test('a site that was offline gets its agent first when it is back, and is not skipped meanwhile', async () => {
    const fleet = await sitesOf({ a: 2, away: 2 })
    await fleet.get('away')!.disconnect()
    await release('1.5.0', 2, 3)
    await release('3.0.0', 3)
    const main = await startRollout(controller, request())
    const first = await firstOf(main.id)
    expect(await fleet.get('a')!.comply()).toBe(true)
    await renewAgent(fleet.get('a')!, 3)
    await tick(controller)
    await runFleet(controller, fleet)
    expect([(await look(controller, first)).counts, (await look(controller, main.id)).counts]).toEqual([{ succeeded: 1, parked: 1 }, { succeeded: 1, parked: 1 }])

    const away = fleet.get('away')!
    await away.connect()
    await tick(controller)
    expect((await explainSite(controller.context(), 'away')).rollouts.find((r) => r.rollout === main.id)!.blockers[0]).toMatchObject({ code: 'busy' })
    expect((await look(controller, main.id)).counts).toEqual({ succeeded: 1, parked: 1 })
    expect(await away.takeGrant()).toMatchObject({ release: { id: 'app@1.5.0' } })
    await away.end('succeeded')
    await renewAgent(away, 3)
    await tick(controller)
    await runFleet(controller, fleet)
    expect([away.running!.id, (await look(controller, main.id)).counts]).toEqual(['app@3.0.0', { succeeded: 2 }])
  })

  test('that is older and has a higher priority than the one that brings the agents does not keep that one from doing so', async () => {
    const fleet = await sitesOf({ a: 2 })
    await release('3.0.0', 3, undefined, { requires: '>=1.5.0' })
    const main = await startRollout(controller, request({ policy: { ...oneWave, priority: 5 } }))
    expect((await look(controller, main.id)).counts).toEqual({ skipped: 1 })

    await release('1.5.0', 2, 3)
    await startRollout(controller, request({ name: 'by hand', target: { release: 'app@1.5.0' }, policy: { ...oneWave, startAt: '2026-06-01T12:01:00Z' } }))
    await retryRollout(operator(controller), main.id, { sites: ['a'], reason: 'its agent is on the way', ifMatch: null })
    expect((await look(controller, main.id)).counts).toEqual({ pending: 1 })
    controller.clock.advance(61_000)
    await tick(controller)
    expect(await fleet.get('a')!.takeGrant()).toMatchObject({ release: { id: 'app@1.5.0' } })
    await fleet.get('a')!.end('succeeded')
    await renewAgent(fleet.get('a')!, 3)
    await runFleet(controller, fleet)
    expect(await look(controller, main.id)).toMatchObject({ state: 'completed', counts: { succeeded: 1 } })
  })

  test('bytes that travel ahead are those of the release that brings the agent, where one is needed', async () => {
    const fleet = await sitesOf({ a: 2, b: 3 })
    await release('1.5.0', 2, 3)
    await release('3.0.0', 3)
    await startRollout(controller, request({ policy: { ...oneWave, staging: 'ahead', startAt: '2026-06-02T00:00:00Z' } }))
    const wanted = async (id: string) => (await fleet.get(id)!.directives('desired')).map((d) => d.release!.id)
    expect([await wanted('a'), await wanted('b')]).toEqual([['app@1.5.0'], ['app@3.0.0']])
  })

  test('without a release that brings one, such sites are skipped with what is missing, and nothing is granted there', async () => {
    const fleet = await sitesOf({ a: 2, b: 3 })
    await release('1.2.0', 3, 3)
    await release('2.0.0', 2, 3, { requires: '>=1.5.0' })
    await release('4.0.0', 2, 3)
    await release('3.0.0', 3)
    const missing = 'app@3.0.0 needs an agent of protocol 3, the site has 2; it takes a release that brings one and that app@1.0.0 may go to, or an agent installed by hand'
    const plan = await planRollout(controller.context(), request())
    expect([plan.skipped, plan.agentsFirst]).toEqual([[{ site: 'a', why: missing }], []])
    const main = await startRollout(controller, request())
    await runFleet(controller, fleet)
    expect(await look(controller, main.id)).toMatchObject({ state: 'completed', after: null, counts: { skipped: 1, succeeded: 1 } })
    expect(await fleet.get('a')!.directives('grant')).toEqual([])
    expect((await explainSite(controller.context(), 'a')).summary).toContain(missing)
  })

  test('the plan and the watch say it', async () => {
    await sitesOf({ a: 2, b: 2, c: 3 })
    await release('1.5.0', 2, 3)
    await release('3.0.0', 3)
    const plan = await planRollout(controller.context(), request())
    expect(plan.agentsFirst).toEqual([{ name: 'three: agents first', release: 'app@1.5.0', sites: ['a', 'b'] }])
    expect(plan.bytes).toEqual({ perSiteMax: 1500, total: 2 * 1500 + 3 * 1000 })
    expect(plan.blocked.map(({ site, blockers }) => [site, blockers[0]!.code])).toEqual([['a', 'agent'], ['b', 'agent']])
    expect(planText(plan)).toContain('before it, "three: agents first": app@1.5.0 to 2 sites (a, b), which brings the agent it needs')
    expect(planText(plan)).toContain('warning: 2 sites need a newer agent and get it first')
    expect(await controller.db.orm.all(sql`SELECT id FROM rollout`)).toEqual([])
    const main = await startRollout(controller, request())
    const nowMs = controller.clock.nowMs()
    expect(renderRollout(main, [], nowMs).join('\n')).toContain(`waits until ${main.after} has brought the agents it needs`)
    expect(renderChanges(null, main).join('\n')).toContain(`the rollout is scheduled: ${main.after} brings the agents it needs first`)
  })
})

describe('an agent newer than the controller', () => {
  const beyond = controllerProtocols.max + 1
  const seen = async () => (await getSite(controller.context(), 'a')).agentProtocol

  test('one version ahead, with a range in common, is spoken to like any other (no standing but ok)', async () => {
    const fleet = await sitesOf({ a: 1 })
    const site = fleet.get('a')!
    site.protocol = { min: controllerProtocols.max, max: beyond }
    await receiveReports(controller.context(), [await site.message({ ...(site.helloBody() as object), selfTest: { passed: 12 } } as never)])
    expect(await seen()).toEqual({ min: controllerProtocols.max, max: beyond, standing: 'ok' })
    const target = await release('2.0.0', 1)
    await startRollout(controller, request({ target: { release: target.id } }))
    await runFleet(controller, fleet)
    expect(site.running!.id).toBe('app@2.0.0')
  })

  test('with no version in common is seen online as too new, is told nothing, and goes on once the two can talk', async () => {
    const fleet = await sitesOf({ a: 2, b: 2 })
    const site = fleet.get('a')!
    await release('2.0.0', 1)
    const held = controller.broker.messages.length
    site.protocol = { min: beyond, max: beyond }
    await site.connect()
    const { id } = await startRollout(controller, request({ target: { release: 'app@2.0.0' } }))
    await runFleet(controller, fleet)
    expect(await seen()).toMatchObject({ standing: 'too-new' })
    expect(controller.broker.messages.slice(held).filter((message) => message.topic.includes('/sites/a/'))).toEqual([])
    expect(await look(controller, id)).toMatchObject({ state: 'completed', counts: { parked: 1, succeeded: 1 } })
    expect((await explainSite(controller.context(), 'a')).rollouts[0]!.blockers).toMatchObject([{ code: 'no-common-protocol' }])
    await renewAgent(site, 2)
    await runFleet(controller, fleet)
    expect(site.running!.id).toBe('app@2.0.0')
  })

  test('that takes over while a directive waits in the outbox does not get it; a hello that can be answered brings it back', async () => {
    const fleet = await sitesOf({ a: 2 })
    const site = fleet.get('a')!
    await release('2.0.0', 1)
    controller.broker.reachable = false
    await startRollout(controller, request({ target: { release: 'app@2.0.0' } }))
    controller.broker.reachable = true
    site.protocol = { min: beyond, max: beyond }
    await site.connect()
    controller.clock.advance(120_000)
    await tick(controller)
    expect(await site.directives('grant')).toEqual([])
    expect(await controller.db.orm.all(sql`SELECT slot FROM directive WHERE pending = 1`)).toEqual([])
    await renewAgent(site, 2)
    await runFleet(controller, fleet)
    expect(site.running!.id).toBe('app@2.0.0')
  })

  test('whose hello cannot be read is known by its greeting, and what was known of the site stands', async () => {
    const site = (await sitesOf({ a: 2 })).get('a')!
    await site.disconnect()
    site.connection++
    const hello = { ...site.helloBody(), protocol: { min: beyond, max: beyond }, agentVersion: '9.0.0', running: 'said in another way', nodes: 7 }
    expect(await receiveReports(controller.context(), [await site.message(hello as never)])).toEqual({ accepted: 1, refused: [] })
    const view = await getSite(controller.context(), 'a')
    expect(view).toMatchObject({ presence: 'online', agentVersion: '9.0.0', running: { id: 'app@1.0.0' }, agentProtocol: { min: beyond, max: beyond, standing: 'too-new' } })
    expect((await receiveReports(controller.context(), [await site.message({ ...hello, protocol: { min: 1, max: 2 } } as never)])).refused).toHaveLength(1)
  })

  test('may send reports of a kind, and with fields, that nobody here knows; a value that nobody knows is refused, and nothing else of the batch is lost', async () => {
    const site = (await sitesOf({ a: 2 })).get('a')!
    const attempt = { deployment: `ro_${'0'.repeat(26)}:a`, attempt: 1, phase: 'rehearsing', outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: 'request-1' }
    const batch = [
      await site.message({ kind: 'weather', wind: 'north' } as never),
      await site.message({ kind: 'progress', attempt, running: null, previous: null, nodes: [] } as never),
      await site.message({ kind: 'inventory', facts: { kernel: '7.0' }, collectedBy: 'probe' } as never),
    ]
    const received = await receiveReports(controller.context(), batch)
    expect(received).toMatchObject({ accepted: 2, refused: [{ index: 1, reason: expect.stringContaining('phase') }] })
    expect(controller.logs.find((line) => line.event === 'ingest.unknown-kind')).toMatchObject({ facts: { count: 1, first: 'weather' } })
    expect(await controller.db.orm.all(sql`SELECT inventory FROM site WHERE id = 'a'`)).toEqual([{ inventory: '{"kernel":"7.0"}' }])
  })
})

describe('what the controller says of its own versions', () => {
  test('its answers to agents name the highest protocol version it speaks; those to people do not', async () => {
    const { key, enrolment } = await enrolledSite(controller, 'a')
    const renewed = await callSigned(controller, 'renewEnrolment', { key, site: 'a', incarnation: enrolment.incarnation })
    expect(renewed.headers.get(protocolHeader)).toBe(String(controllerProtocols.max))
    const created = await controller.call('createSite', { body: { id: 'b' } })
    expect(created.headers.get(protocolHeader)).toBeNull()
    const enrolled = await controller.call('enrol', { as: null, body: await enrolBody(await makeKey('b'), 'b', created.body.claim.claim) })
    expect(enrolled.headers.get(protocolHeader)).toBe(String(controllerProtocols.max))
  })

  test('a manifest that needs a newer protocol than the controller speaks is not taken in, and the answer says so', async () => {
    const made = await makeRelease('1.0.0', { app: { a: 'b' } }, { protocolMin: controllerProtocols.max + 1, alsoNew: true })
    const answer = await announce(controller, made)
    expect(answer.status).toBe(422)
    expect(answer.body).toMatchObject({ reason: 'protocol', detail: `the manifest needs protocol ${controllerProtocols.max + 1}, and this controller speaks up to ${controllerProtocols.max}: deploy a newer one first` })
  })
})
