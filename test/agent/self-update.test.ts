import { describe, expect, test } from 'vitest'
import { planChanges } from '../../edge-agent/apply/plan-changes.ts'
import type { NodeName, ReleaseRef } from '../../protocol/ids.ts'
import { Manifest } from '../../protocol/manifest.ts'
import type { AttemptReport } from '../../protocol/reports.ts'
import type { ReleaseDraft } from '../support/fake-controller.ts'
import { FakeLauncher } from '../support/fake-launcher.ts'
import { deployment, TestSite } from '../support/test-site.ts'

/** A prime, so that cuts do not fall on the same call of every repetition. */
const strideCalls = 13
const installed = 'a'.repeat(64)

const suite = (version: string, healthy = true): ReleaseDraft => ({
  version, protocolMin: 2,
  components: [
    {
      name: 'app', personalities: ['controller'], config: { driver: 'files', target: '/opt/app' }, files: { 'version.txt': version },
      health: [{ type: 'file', name: 'says its version', path: '/opt/app/version.txt', contains: healthy ? version : 'something else', retries: 1, interval: 10 }],
    },
    { name: 'agent', config: { driver: 'agent', protocol: { min: 1, max: 2 } }, files: { 'bin/node': 'node', 'agent.mjs': `agent of ${version}` } },
  ],
})

type Prepared = { site: TestSite; launcher: FakeLauncher; last(): AttemptReport | null; version(): Promise<string> }

/** A site with an installed agent, and one deployment that its controller wants done. */
async function prepared(seed: number, draft: ReleaseDraft, bad = false): Promise<Prepared> {
  const site = await TestSite.create(seed)
  const launcher = new FakeLauncher(site.files)
  await launcher.install(installed)
  site.files.settleAll()
  site.launcher = launcher
  const release: ReleaseRef = await site.controller.publish(draft)
  const version = agentTree(site)
  launcher.texts.set(version, `agent of ${draft.version}`)
  if (bad) launcher.bad.add(version)
  const desired = await site.desired('one', release)
  let last: AttemptReport | null = null
  const granted = new Set<string>()
  const answerHello = async (bootId: string): Promise<void> => {
    await site.controller.send(desired, true)
    if (last !== null || granted.has(bootId)) return
    granted.add(bootId)
    await site.controller.send({ kind: 'grant', desired: desired.position, deployment: deployment('one'), attempt: 1, startByMs: site.clock.nowMs() + 600_000, maxDurationMs: 3_600_000, bootId: bootId as never })
  }
  site.controller.onReport = ({ body, bootId }) => {
    if ((body.kind === 'progress' || body.kind === 'hello') && body.attempt?.deployment === deployment('one')) last = body.attempt
    if (body.kind === 'hello') void answerHello(bootId)
  }
  return { site, launcher, last: () => last, version: async () => (await site.files.readlink(`${launcher.directory}/current`)).replace('versions/', '') }
}

/** The newest release. */
function agentManifest(site: TestSite): Manifest {
  const { envelope } = [...site.controller.manifests.values()].at(-1)!
  return Manifest.parse(JSON.parse(Buffer.from(envelope.payload, 'base64').toString()))
}

/** The digest of the agent's tree in it. */
const agentTree = (site: TestSite): string => agentManifest(site).components.find((component) => component.name === 'agent')!.tree.digest

/** Starts the agent as often as it, or a cut, ends it, until the attempt has ended. Returns the calls to the host in each life. */
async function toTheEnd({ site, last }: Prepared, cuts: readonly number[] = []): Promise<number[]> {
  const calls: number[] = []
  const isOver = (): boolean => last()?.phase === 'ended' && site.agent!.status().reportsWaiting === 0
  for (let life = 0; life < 20; life++) {
    await site.start(cuts[life])
    await site.clock.until(() => !site.power.on || isOver(), 'a life of the agent has ended, or all is done')
    calls.push(site.power.calls)
    site.power.cutAt = Number.POSITIVE_INFINITY
    if (site.power.on) return calls
    site.crash()
  }
  throw new Error('it never came to an end')
}

describe('an agent that replaces itself by a release (F29)', () => {
  test('the new one reports in and ends the attempt', async () => {
    const all = await prepared(1, suite('2.0.0'))
    expect(await toTheEnd(all)).toHaveLength(2)
    expect(all.last()).toMatchObject({ outcome: 'succeeded', fault: null })
    expect(await all.version()).toBe(agentTree(all.site))
    expect(all.site.controller.requests.filter((line) => line === 'GET /v1/agent/enrolment')).toHaveLength(1)
    expect(all.site.agent!.status().nodes.map((node) => node.mixed)).toEqual([false, false])
  })

  test('is changed on its own node alone, and before all else there', async () => {
    const { site } = await prepared(1, suite('2.0.0'))
    const manifest = agentManifest(site)
    const node = (name: string, hasAgent: boolean) => ({ name: name as NodeName, personality: 'controller' as const, root: `/${name}`, hasAgent })
    expect(planChanges(null, manifest, node('n0', false)).map((change) => change.component)).toEqual(['app'])
    expect(planChanges(null, manifest, node('n1', true)).map((change) => change.component)).toEqual(['agent', 'app'])
  })

  test('one that is never heard is given up by its launcher, and the old one says why', async () => {
    const all = await prepared(2, suite('2.0.0'), true)
    await toTheEnd(all)
    expect(all.last()).toMatchObject({ outcome: 'rolled-back', fault: { code: 'agent-crashed', component: 'agent', node: 'controller-0' } })
    expect(await all.version()).toBe(installed)
    expect(await all.site.read(1, '/opt/app/version.txt')).toBeNull()
  })

  test('one that is well in a release that is not goes back with it', async () => {
    const all = await prepared(3, suite('2.0.0', false))
    expect(await toTheEnd(all)).toHaveLength(3)
    expect(all.last()).toMatchObject({ outcome: 'rolled-back', fault: { code: 'health-check-failed' } })
    expect(await all.version()).toBe(installed)
  })

  test.each([['well', true], ['not', false]] as const)('in a release that is %s, cut at any call: the old or the new runs, connected, and the attempt ends as it should', async (_, healthy) => {
    const lives = await toTheEnd(await prepared(4, suite('2.0.0', healthy)))
    let cutsMade = 0
    for (const [life, calls] of lives.entries()) {
      for (let call = 2; call < calls; call += strideCalls) {
        const all = await prepared(100 + call, suite('2.0.0', healthy))
        const cuts = [...Array<number>(life).fill(Number.POSITIVE_INFINITY), call]
        await toTheEnd(all, cuts)
        const context = `cut in life ${life} at call ${call}`
        expect(all.last()?.outcome, context).toBe(healthy ? 'succeeded' : 'rolled-back')
        expect(await all.version(), context).toBe(healthy ? agentTree(all.site) : installed)
        expect(await all.site.read(1, '/opt/app/version.txt'), context).toBe(healthy ? '2.0.0' : null)
        expect(all.site.agent!.status().connected, context).toBe(true)
        await all.site.agent!.stop()
        cutsMade++
      }
    }
    expect(cutsMade).toBeGreaterThan(30)
  })
})
