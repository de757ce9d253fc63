import { describe, expect, test } from 'vitest'
import type { Change } from '../../edge-agent/driver/contract.ts'
import { drivers } from '../../edge-agent/driver/drivers.ts'
import type { Host } from '../../edge-agent/host/host.ts'
import { createInstallation } from '../../edge-agent/host/installation.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { Component } from '../../protocol/manifest.ts'
import { FakeLauncher, Restarting } from '../support/fake-launcher.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, PowerCut, SimulatedFiles } from '../support/simulated-files.ts'
import { deploy, driverCases, errorOf, type Bench } from './driver.cases.ts'

const digests = { one: '1'.repeat(64), two: '2'.repeat(64) }
const installed = 'a'.repeat(64)

type AgentBench = Bench & { files: SimulatedFiles; launcher: FakeLauncher; boot(): Promise<void>; running(): string; unheard: boolean }

/** An agent that an installer put there. A verb that ends its process is called again in the next, as the journal has it. */
async function agentBench(): Promise<AgentBench> {
  const files = new SimulatedFiles()
  const launcher = new FakeLauncher(files)
  await launcher.install(installed)
  await files.makeDirectory('/site/root')
  files.settleAll()
  const host: Host = { ...nodeHost, files }
  const node = { name: 'n1' as NodeName, personality: 'worker' as const, root: '/site/root', hasAgent: true }
  const bench: AgentBench = {
    host, files, launcher, unheard: false,
    async boot() {
      host.installation = createInstallation({ directory: launcher.directory, running: await launcher.start(), trialS: 10, restart: () => Promise.reject(new Restarting()) })
      if (!bench.unheard) for (const part of ['broker', 'controller'] as const) host.installation.reached(part)
    },
    running: () => host.installation!.running,
    driver: { ...drivers.agent },
    async release(version) {
      const path = `/site/staged/${version}`
      await files.makeDirectory(`${path}/bin`)
      await files.write(`${path}/bin/node`, utf8('node'), 0o755)
      await files.write(`${path}/agent.mjs`, utf8(digests[version]), 0o644)
      const component = Component.parse({ name: 'agent', version, config: { driver: 'agent', protocol: { min: 1, max: 2 } }, tree: { digest: digests[version], listingBytes: 1, size: 1, files: 2 } })
      return { component, tree: { path, digest: digests[version] } }
    },
    change: (from, to) => ({ node, component: 'agent', from, to, stateDirectory: '/site/state/agent', signal: new AbortController().signal }),
    async world() {
      if ((await files.facts(`${launcher.directory}/managed`)) === null) return null
      expect(fromUtf8(await files.read(`${launcher.directory}/managed`)).trim()).toBe(bench.running())
      return bench.running() === digests.one ? 'one' : 'two'
    },
  }
  for (const verb of ['apply', 'rollback'] as const) {
    bench.driver[verb] = async (of, change) => {
      for (;;) {
        try {
          return await drivers.agent[verb](of, change)
        } catch (error) {
          if (!(error instanceof Restarting)) throw error
          await bench.boot()
        }
      }
    }
  }
  await bench.boot()
  return bench
}

const versionsOf = (bench: AgentBench): Promise<string[]> => bench.files.list(`${bench.launcher.directory}/versions`)

describe('the agent driver', () => {
  driverCases(agentBench)

  test('refuses, before anything changes, where no launcher started the agent', async () => {
    const bench = await agentBench()
    const change = bench.change(null, await bench.release('one'))
    delete bench.host.installation
    expect((await errorOf(bench.driver.stage(bench.host, change))).code).toBe('not-installed')
    await bench.driver.rollback(bench.host, change)
    await bench.driver.cleanup(bench.host, change)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
  })

  test('refuses a tree that is no agent', async () => {
    const bench = await agentBench()
    const one = await bench.release('one')
    await bench.files.remove(`${one.tree.path}/agent.mjs`)
    expect((await errorOf(bench.driver.stage(bench.host, bench.change(null, one)))).code).toBe('not-an-agent')
  })

  test('a version that is never heard is given up: the old one says why, and one that is tried again is tried anew (F29)', async () => {
    const bench = await agentBench()
    await deploy(bench, bench.change(null, await bench.release('one')))
    bench.launcher.bad.add(digests.two)
    const change = bench.change(await bench.release('one'), await bench.release('two'))
    for (let round = 0; round < 2; round++) {
      await bench.driver.stage(bench.host, change)
      const error = await errorOf(bench.driver.apply(bench.host, change))
      expect([error.code, error.message, bench.running()]).toEqual(['agent-crashed', 'it was started 3 times', digests.one])
      expect((await errorOf(bench.driver.apply(bench.host, change))).code).toBe('agent-crashed')
      for (const verb of ['rollback', 'cleanup'] as const) await bench.driver[verb](bench.host, change)
      expect(await bench.world()).toBe('one')
      expect(await versionsOf(bench)).not.toContain(digests.two)
    }
    bench.launcher.bad.clear()
    await deploy(bench, change)
    expect(await bench.world()).toBe('two')
  })

  test('a version that has not reported in is not current, and an attempt that is cut short goes back to the old one', async () => {
    const bench = await agentBench()
    const ended = new AbortController()
    const change: Change = { ...bench.change(null, await bench.release('one')), signal: ended.signal }
    bench.unheard = true
    await bench.driver.stage(bench.host, change)
    const applying = bench.driver.apply(bench.host, change)
    const refused = expect(applying).rejects.toThrow('the deadline passed')
    while (bench.running() !== digests.one) await new Promise(setImmediate)
    expect(await bench.files.readlink(`${bench.launcher.directory}/current`)).toBe(`versions/${installed}`)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
    ended.abort(new Error('the deadline passed'))
    await refused
    await bench.driver.rollback(bench.host, change)
    expect(bench.running()).toBe(installed)
  })

  test('keeps the version that runs and the one before, and no other', async () => {
    const bench = await agentBench()
    const [one, two] = [await bench.release('one'), await bench.release('two')]
    await deploy(bench, bench.change(null, one))
    expect((await versionsOf(bench)).sort()).toEqual([digests.one, installed])
    await deploy(bench, bench.change(one, two))
    expect((await versionsOf(bench)).sort()).toEqual([digests.one, digests.two])
  })

  test('a release that brings what an installer put there already starts nothing anew, and can be taken back', async () => {
    const bench = await agentBench()
    const one = await bench.release('one')
    await bench.launcher.install(digests.one)
    await bench.boot()
    const process = bench.host.installation
    const change = bench.change(null, one)
    for (const verb of ['stage', 'apply', 'verify', 'rollback'] as const) await bench.driver[verb](bench.host, change)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
    await deploy(bench, change)
    expect([await bench.world(), bench.host.installation]).toEqual(['one', process])
  })
})

type Verb = 'stage' | 'apply' | 'rollback' | 'cleanup'
const cuts: { from: boolean; prepared: Verb[]; verb: Verb; recovery: (Verb | 'verify')[]; ends: 'old' | 'new' }[] = [true, false].flatMap((from) => [
  { from, prepared: [], verb: 'stage', recovery: ['stage', 'apply', 'verify'], ends: 'new' },
  { from, prepared: ['stage'], verb: 'apply', recovery: ['apply', 'verify'], ends: 'new' },
  { from, prepared: ['stage'], verb: 'apply', recovery: ['rollback'], ends: 'old' },
  { from, prepared: ['stage', 'apply'], verb: 'rollback', recovery: ['rollback'], ends: 'old' },
  { from, prepared: ['stage', 'apply'], verb: 'cleanup', recovery: ['cleanup', 'verify'], ends: 'new' },
])

describe('an agent whose power goes while it replaces itself (F21, F29)', () => {
  const ids: Record<string, string> = { old: installed, one: digests.one, two: digests.two }

  test.each(cuts)('from a release: $from, after $prepared, in $verb: the old or the new runs, and after $recovery the $ends one', async ({ from, prepared, verb, recovery, ends }) => {
    let cutsMade = 0
    for (let calls = 0, cut = true; cut; calls++) {
      const bench = await agentBench()
      const [one, two] = [await bench.release('one'), await bench.release('two')]
      if (from) await deploy(bench, bench.change(null, one))
      const change = bench.change(from ? one : null, two)
      const old = from ? 'one' : 'old'
      for (const each of prepared) await bench.driver[each](bench.host, change)
      bench.files.settleAll()
      bench.files.beforeCall = cutPowerAfter(calls)
      cut = await bench.driver[verb](bench.host, change).then(() => false, (error: unknown) => {
        if (error instanceof PowerCut) return true
        throw error
      })
      bench.files.beforeCall = null
      bench.files.crash(seededFractions(calls))
      // start() itself insists that what it starts is whole
      await bench.boot()
      expect([ids[old], digests.two], `call ${calls}`).toContain(bench.running())
      for (const each of recovery) await bench.driver[each](bench.host, change)
      expect(bench.running(), `call ${calls}`).toBe(ends === 'new' ? digests.two : ids[old])
      bench.files.crash(seededFractions(calls))
      await bench.boot()
      expect(bench.running(), `call ${calls}, and a second crash`).toBe(ends === 'new' ? digests.two : ids[old])
      expect(await bench.driver.observe(bench.host, change)).toEqual(ends === 'new' ? { state: 'present', digest: digests.two } : from ? { state: 'present', digest: digests.one } : { state: 'absent' })
      if (cut) cutsMade++
    }
    expect(cutsMade).toBeGreaterThan(3)
  })
})
