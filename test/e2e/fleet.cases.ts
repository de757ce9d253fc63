import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { exitCodes } from '../../cli/exit-codes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { EventView } from '../../protocol/http/operations.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import type { RolloutPolicy } from '../../protocol/policy.ts'
import { outcomes } from '../../protocol/states.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'
import { runAlarmCases } from './alarm.cases.ts'
import type { HostName } from './hosts/host.ts'
import { startRealFleet, type RealFleet } from './real-processes.ts'

const sites = ['north', 'east', 'south', 'west', 'centre']
const nodes = [0, 1]
const agentProgram = join(import.meta.dirname, '../../edge-agent/murmur-agent.mjs')
const check = (text: string) => ({ text: `#!/bin/sh\n${text}\n`, mode: 0o755 })
const checked = (timeout: string): string => `    health:\n      - {type: command, name: check, path: bin/check, timeout: ${timeout}, retries: 0}\n`
const all = [{ name: 'all', size: 'rest' as const }]

/** Everything that a fleet does, at real sites with real agents, whatever host the controller has. */
export function runFleetCases(host: HostName): void {
  const { describe, test } = needs('mosquitto', ...(host === 'worker' ? (['workerd', 'sqld'] as const) : []))

  describe(`a fleet of real agents at a real mosquitto, its controller on ${host}`, () => {
    let fleet: RealFleet
    beforeAll(async () => {
      fleet = await startRealFleet(sites, { host, settings: { MURMUR_WEBHOOK_ALLOW: '127.0.0.0/8' } })
    })
    afterAll(() => fleet?.stop(), 60_000)

    const view = (rollout: RolloutId) => fleet.client.call(contracts.getRollout, { params: { rollout } })
    const deployments = async (rollout: RolloutId) => (await fleet.client.call(contracts.listDeployments, { params: { rollout }, query: { limit: 50 } })).items
    const events = async (rollout: RolloutId) => (await fleet.client.call(contracts.listEvents, { query: { entity: `rollout/${rollout}`, limit: 500 } })).items
    const reached = (what: string, rollout: RolloutId, isSo: (rollout: RolloutView) => boolean) => until(what, async () => isSo(await view(rollout)), fleet.programs(), 90_000)
    const completed = (rollout: RolloutId) => reached('the rollout is completed', rollout, ({ state }) => state === 'completed')
    const blockers = async (site: string) => (await fleet.client.call(contracts.explainSite, { params: { site: site as SiteId } })).rollouts[0]!.blockers

    /** What a site's nodes have: one text where all have the same. */
    async function installed(site: string): Promise<string | null> {
      const texts = new Set(await Promise.all(nodes.map((node) => readFile(join(fleet.nodeRoot(site, node), 'opt/app/version'), 'utf8').catch(() => null))))
      if (texts.size > 1) throw new Error(`the nodes of ${site} differ: ${[...texts].join(', ')}`)
      return [...texts][0]!
    }
    const installedEverywhere = async () => Object.fromEntries(await Promise.all(sites.map(async (site) => [site, await installed(site)])))
    const everywhere = (text: string) => Object.fromEntries(sites.map((site) => [site, text]))

    async function rollOut(version: string, policy: Partial<RolloutPolicy> = {}): Promise<RolloutId> {
      const body = { name: `to ${version}`, target: { release: `app@${version}` as never }, selector: { all: true as const }, policy: { waves: all as never, maxParallel: 5, ...policy } }
      return (await fleet.client.call(contracts.createRollout, { body })).id
    }
    /** Releases app@`version` with a check of this text. */
    const publish = (version: string, text: string, checkText = 'exit 0', timeout = '20s') => fleet.publish(version, { version: { text }, 'bin/check': check(checkText) }, checked(timeout))

    test('enrol: each claim binds one agent to its site, once', async () => {
      const listed = (await fleet.client.call(contracts.listSites, { query: { limit: 50 } })).items
      expect(listed.map(({ id, state, presence, incarnation }) => ({ id, state, presence, incarnation }))).toEqual([...sites].sort().map((id) => ({ id, state: 'enrolled', presence: 'online', incarnation: 1 })))
      const { claim } = await fleet.client.call(contracts.createSite, { body: { id: 'spare' as SiteId } })
      const enrolAs = async (name: string): Promise<string> => {
        const enrolment = new Program(name, process.execPath, [agentProgram, ...claim.enrolLine.split(' ').slice(1), '--state', join(fleet.directory, name), '--node', `node-0=${join(fleet.directory, `${name}-root`)},controller`])
        enrolment.start()
        await until(`${name} has an answer`, async () => /"event":"(?:enrolled|failed)"/.test(enrolment.output), [enrolment])
        return enrolment.output
      }
      expect(await enrolAs('first')).toContain('"event":"enrolled"')
      expect(await enrolAs('second')).toMatch(/"event":"failed".*claim/)
      await fleet.client.call(contracts.removeSite, { params: { site: 'spare' as SiteId } })
    })

    test('publish: a release is available once the store has every object, and publishing it again changes nothing', async () => {
      const first = await publish('1.0.0', 'one')
      expect(first.release).toMatchObject({ id: 'app@1.0.0', state: 'available' })
      const again = await publish('1.0.0', 'one')
      expect(again.release).toEqual(first.release)
      await expect(publish('1.0.0', 'another one')).rejects.toMatchObject({ exit: 'conflict' satisfies keyof typeof exitCodes })
    })

    test('rollout in waves: canary, then ramp, then the rest, never more at once than maxParallel', async () => {
      const waves = [{ name: 'canary', size: 1, barrier: true, successThreshold: 1 }, { name: 'ramp', size: 2, barrier: true }, { name: 'rest', size: 'rest' }]
      const id = await rollOut('1.0.0', { waves: waves as never, maxParallel: 2 })
      await completed(id)
      expect(await installedEverywhere()).toEqual(everywhere('one'))
      const trail = await events(id)
      expect(trail.filter(({ action }) => action === 'deployment.grant').map(({ detail }) => detail['wave'])).toEqual(['canary', 'ramp', 'ramp', 'rest', 'rest'])
      expect(trail.filter(({ action }) => action === 'wave.open').map(({ detail }) => detail['wave'])).toEqual(['canary', 'ramp', 'rest'])
      expect(mostInFlight(trail)).toBe(2)
      // behind a barrier nobody starts before all in front have ended
      const grants = trail.filter(({ action }) => action === 'deployment.grant')
      const succeeded = trail.filter(({ action }) => action === 'deployment.succeeded')
      expect(grants[1]!.seq).toBeGreaterThan(succeeded[0]!.seq)
      expect(grants[3]!.seq).toBeGreaterThan(succeeded[2]!.seq)
    })

    test('failure and rollback: a site that fails its check goes back to what it ran, and nobody follows', async () => {
      await publish('2.0.0', 'two', 'echo "it does not start"; exit 1', '5s')
      const waves = [{ name: 'canary', size: 1, barrier: true, successThreshold: 1 }, { name: 'rest', size: 'rest' }]
      const id = await rollOut('2.0.0', { waves: waves as never })
      await reached('the rollout has paused', id, ({ pauses }) => pauses.length > 0)
      expect((await view(id)).counts).toEqual({ 'rolled-back': 1, pending: 4 })
      expect(await installedEverywhere()).toEqual(everywhere('one'))
      const failed = (await deployments(id)).find(({ state }) => state === 'rolled-back')!
      expect(failed.fault).toMatchObject({ code: 'health-check-failed', check: 'check' })
      const waiting = (await deployments(id)).find(({ state }) => state === 'pending')!
      expect(await blockers(waiting.site)).toEqual(expect.arrayContaining([expect.objectContaining({ code: 'paused', endsBy: expect.stringContaining('resume') }), expect.objectContaining({ code: 'wave' })]))
      await fleet.client.call(contracts.abortRollout, { params: { rollout: id }, body: { mode: 'finish', reason: 'a bad release' } })
      await reached('the rollout is aborted', id, ({ state }) => state === 'aborted')
      expect((await view(id)).counts).toEqual({ 'rolled-back': 1, cancelled: 4 })
    })

    test('rollback: each site returns to the release it was taken from', async () => {
      await publish('3.0.0', 'three')
      const id = await rollOut('3.0.0')
      await completed(id)
      expect(await installedEverywhere()).toEqual(everywhere('three'))
      const back = await fleet.client.call(contracts.rollbackRollout, { params: { rollout: id }, body: { reason: 'not wanted' } })
      await completed(back.id)
      expect(await installedEverywhere()).toEqual(everywhere('one'))
    })

    test('abort: sites in flight finish, stop at a safe point, or go back, and what has not started never does', async () => {
      for (const [version, mode] of [['4.0.0', 'finish'], ['4.1.0', 'safe-point'], ['4.2.0', 'revert']] as const) {
        const before = await installedEverywhere()
        await publish(version, version, 'sleep 2')
        const id = await rollOut(version, { maxParallel: 2 })
        await until('a site is at its check', async () => (await deployments(id)).some(({ phase }) => phase === 'verifying' || phase === 'applying'), fleet.programs())
        await fleet.client.call(contracts.abortRollout, { params: { rollout: id }, body: { mode, reason: 'a test' } })
        await reached('the rollout is aborted', id, ({ state }) => state === 'aborted')
        const ended = await deployments(id)
        expect(ended.filter(({ attempt, state }) => attempt === 0 && state === 'cancelled')).toHaveLength(3)
        const touched = ended.filter(({ attempt }) => attempt > 0)
        expect(touched.filter(({ state }) => state !== 'succeeded' && state !== 'cancelled')).toEqual([])
        if (mode === 'finish') expect(touched.map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
        if (mode === 'revert') expect(touched.map(({ state }) => state)).toContain('cancelled')
        // whatever each of them says of itself is what its nodes have
        const says = Object.fromEntries(ended.map(({ site, state }) => [site, state === 'succeeded' ? version : before[site]]))
        expect(await installedEverywhere()).toEqual(says)
      }
    })

    test('parked sites: one that is away holds nobody up, and catches up when its agent starts', async () => {
      await fleet.agents.get('west')!.end('SIGTERM')
      await until('the site is offline', async () => (await fleet.online()) === sites.length - 1, fleet.programs())
      await publish('5.0.0', 'five')
      const id = await rollOut('5.0.0')
      await completed(id)
      const parked = await view(id)
      expect([parked.counts, parked.parkedUntil === null]).toEqual([{ succeeded: 4, parked: 1 }, false])
      expect((await blockers('west'))[0]).toMatchObject({ code: 'offline', endsBy: expect.stringContaining('site') })
      fleet.agents.get('west')!.start()
      await reached('it has caught up', id, ({ state, counts }) => state === 'completed' && counts.succeeded === 5)
      expect(await installedEverywhere()).toEqual(everywhere('five'))
    })

    test('explain: names what is in a site\'s way, and when or by whom it ends', async () => {
      const settings = (windows: { cron: string; duration: string }[]) => fleet.client.call(contracts.updateSite, { params: { site: 'east' as SiteId }, body: { windows } })
      const farMonth = ((new Date().getUTCMonth() + 6) % 12) + 1
      await settings([{ cron: `0 3 1 ${farMonth} *`, duration: '1h' }])
      await publish('6.0.0', 'six')
      const id = await rollOut('6.0.0')
      await reached('all but one have ended', id, ({ counts }) => counts.succeeded === 4)
      const [first] = await blockers('east')
      expect(first).toMatchObject({ code: 'window', endsBy: null })
      expect(new Date(first!.endsAt!).getUTCMonth() + 1).toBe(farMonth)
      expect(await installed('east')).toBe('five')
      await settings([])
      await completed(id)
      expect(await installedEverywhere()).toEqual(everywhere('six'))
      const { summary, rollouts } = await fleet.client.call(contracts.explainSite, { params: { site: 'east' as SiteId } })
      expect([summary, rollouts]).toEqual([expect.stringContaining('No rollout wants to change it now'), []])
    })

    const canaryThenRest = [{ name: 'canary', size: 1, barrier: true, successThreshold: 1, soak: 30_000 }, { name: 'rest', size: 'rest' as const }]
    runAlarmCases(test, { fleet: () => fleet, publish: (version) => publish(version, version), rollOut: (version) => rollOut(version, { waves: canaryThenRest as never }) })

    test('faults: kill -9 of an agent, of the controller and of the broker in the middle of a rollout delay it and no more (F21, F43, F50)', async () => {
      await publish('7.0.0', 'seven', 'sleep 1')
      const id = await rollOut('7.0.0', { maxParallel: 2 })
      let victim: SiteId | undefined
      await until('a site is at it', async () => (victim = (await deployments(id)).find(({ phase }) => phase === 'applying' || phase === 'verifying')?.site) !== undefined, fleet.programs())
      await fleet.agents.get(victim!)!.end('SIGKILL')
      await fleet.host.kill()
      fleet.agents.get(victim!)!.start()
      await fleet.host.start()
      await fleet.broker.restart('SIGKILL')
      await completed(id)
      expect((await view(id)).counts).toEqual({ succeeded: sites.length })
      expect(await installedEverywhere()).toEqual(everywhere('seven'))
      expect(mostInFlight(await events(id))).toBeLessThanOrEqual(2)
    })
  })
}

/** The most sites that held a grant at once, replayed from the audit trail of one rollout. */
function mostInFlight(trail: readonly EventView[]): number {
  const ends = new Set<string>([...outcomes, 'lose'].map((outcome) => `deployment.${outcome}`))
  const holding = new Set<string>()
  let most = 0
  for (const { action, site } of trail) {
    if (action === 'deployment.grant') holding.add(site!)
    else if (ends.has(action)) holding.delete(site!)
    most = Math.max(most, holding.size)
  }
  return most
}
