import { describe, expect, test } from 'vitest'
import { comparePositions, type ReleaseRef } from '../../protocol/ids.ts'
import type { Directive } from '../../protocol/directives.ts'
import type { AttemptReport, Report } from '../../protocol/reports.ts'
import type { ReleaseDraft } from '../support/fake-controller.ts'
import { deployment, stateDirectory, TestSite } from '../support/test-site.ts'

/** A prime, so that cuts do not fall on the same call of every repetition. */
const strideCalls = 11

const shop = (version: string, healthy: boolean): ReleaseDraft => ({
  version,
  components: [
    {
      name: 'app', config: { driver: 'files', target: '/opt/app' }, files: { 'version.txt': version, 'lib/common.txt': 'the same in all' },
      health: [{ type: 'file', name: 'says its version', path: '/opt/app/version.txt', contains: healthy ? version : 'something else', retries: 1, interval: 10 }],
    },
    { name: 'web', config: { driver: 'files', target: '/srv/web' }, files: { 'index.html': `page of ${version}` } },
  ],
})

/** `unpermitted`: the attempt was begun before its grant was given. */
type Driven = { last: () => AttemptReport | null; unpermitted: () => boolean }

/** A controller that wants one deployment done: answers each hello with what differs, and gives each attempt one grant per boot. */
async function drive(site: TestSite, name: string, release: ReleaseRef): Promise<Driven> {
  const desired = await site.desired(name, release)
  let last: AttemptReport | null = null
  let unpermitted = false
  const granted = new Set<string>()
  const answerHello = async (report: Report): Promise<void> => {
    if (report.body.kind !== 'hello') return
    const { held, attempt } = report.body
    if (held.desired === null || comparePositions(held.desired, desired.position) < 0) await resend(site, desired)
    if (attempt?.deployment === deployment(name) || granted.has(report.bootId)) return
    granted.add(report.bootId)
    await site.controller.send({
      kind: 'grant', desired: desired.position, deployment: deployment(name), attempt: 1, startByMs: site.clock.nowMs() + 600_000, maxDurationMs: 3_600_000, bootId: report.bootId,
    })
  }
  site.controller.onReport = (report) => {
    if ((report.body.kind === 'progress' || report.body.kind === 'hello') && report.body.attempt?.deployment === deployment(name)) {
      last = report.body.attempt
      unpermitted ||= granted.size === 0
    }
    void answerHello(report)
  }
  return { last: () => last, unpermitted: () => unpermitted }
}

const resend = (site: TestSite, directive: Directive): Promise<unknown> => site.controller.send(directive, true)

async function deploy(site: TestSite, name: string, release: ReleaseRef): Promise<AttemptReport> {
  const { last } = await drive(site, name, release)
  await site.start()
  await site.clock.until(() => last()?.phase === 'ended', `${name} has ended`)
  return last()!
}

const versionsOf = async (site: TestSite): Promise<(string | null)[]> =>
  Promise.all([0, 1].flatMap((node) => [site.read(node, '/opt/app/version.txt'), site.read(node, '/srv/web/index.html').then((page) => page?.replace('page of ', '') ?? null)]))

type Scenario = { healthy: boolean; outcome: AttemptReport['outcome']; version: string }
const scenarios: Scenario[] = [
  { healthy: true, outcome: 'succeeded', version: '2.0.0' },
  { healthy: false, outcome: 'rolled-back', version: '1.0.0' },
]

/** A site that runs 1.0.0 and is about to be taken to 2.0.0. */
async function prepared(seed: number, scenario: Scenario): Promise<{ site: TestSite; release: ReleaseRef; old: ReleaseRef }> {
  const site = await TestSite.create(seed)
  const old = await site.controller.publish(shop('1.0.0', true))
  await deploy(site, 'first', old)
  site.crash()
  site.controller.reports.length = 0
  return { site, old, release: await site.controller.publish(shop('2.0.0', scenario.healthy)) }
}

/** Which calls to the host a whole deployment makes, and which of them write the journal. */
async function callsOf(scenario: Scenario): Promise<{ calls: number; journalCalls: number[] }> {
  const { site, release } = await prepared(1, scenario)
  const journalCalls: number[] = []
  const { last } = await drive(site, 'second', release)
  site.onDiskCall = (path, call) => {
    if (path.startsWith(`${stateDirectory}/journal`)) journalCalls.push(call)
  }
  await site.start()
  await site.clock.until(() => last()?.phase === 'ended', 'it has ended')
  return { calls: site.power.calls, journalCalls }
}

/** Cuts the power at these calls, each in a life of its own, lets the site come back, and checks all that must hold. */
async function cutAt(calls: readonly number[], scenario: Scenario): Promise<void> {
  const { site, release, old } = await prepared(calls[0]! + 1, scenario)
  const { last, unpermitted } = await drive(site, 'second', release)
  for (const call of calls) {
    await site.start(call)
    await site.clock.until(() => !site.power.on || last()?.phase === 'ended', 'the power is off')
    site.crash()
  }
  await site.start()
  await site.clock.until(() => last()?.phase === 'ended' && site.agent!.status().reportsWaiting === 0, 'it has ended')
  const context = `cut at call ${calls.join(', then ')}`
  // I1: exactly the old or the new, on every node.
  expect(await versionsOf(site), context).toEqual(Array(4).fill(scenario.version))
  expect(last()?.outcome, context).toBe(scenario.outcome)
  // The truth is told: what is said to run is what runs, on the site and on each node.
  const expected = scenario.healthy ? release : old
  const status = site.agent!.status()
  expect(status.running, context).toEqual(expected)
  expect(status.nodes.map((node) => [node.release, node.mixed]), context).toEqual([[expected, false], [expected, false]])
  // I6: nothing begins without its grant.
  expect(unpermitted(), context).toBe(false)
  // I8: no number is used twice.
  const numbers = site.controller.reports.map((report) => `${report.seq} ${JSON.stringify(report.body)}`)
  expect(new Set(numbers.map((text) => text.split(' ', 1)[0])).size, context).toBe(new Set(numbers).size)
  await site.agent!.stop()
}

describe.each(scenarios)('an agent whose power is cut during a deployment that ends $outcome (F21)', (scenario) => {
  test('ends with every node on exactly one release and says so, whichever call it was cut at', async () => {
    const { calls, journalCalls } = await callsOf(scenario)
    expect(journalCalls.length).toBeGreaterThan(20)
    const stride = Array.from({ length: Math.floor(calls / strideCalls) }, (_, i) => i * strideCalls + 3)
    for (const call of new Set([...journalCalls, ...stride])) await cutAt([call], scenario)
  })

  test('also when it is cut again while it recovers', async () => {
    const { calls } = await callsOf(scenario)
    for (let call = 200; call < calls; call += 4 * strideCalls) await cutAt([call, 40 + (call % 150), 60 + (call % 90)], scenario)
  })
})
