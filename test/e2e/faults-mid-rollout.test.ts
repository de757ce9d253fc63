import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import { RolloutPolicy } from '../../protocol/policy.ts'
import { needs } from '../support/needs.ts'
import { sleep, until } from '../support/program.ts'
import { startRealFleet, type RealFleet } from './real-processes.ts'

const sites = ['north', 'east', 'south', 'west', 'centre']
const { describe, test } = needs('mosquitto')
const { test: debian } = needs('mosquitto', 'dpkg', 'root')

/** Slow enough that something can be killed while a site is at it. */
const slowCheck = '#!/bin/sh\nsleep 1\nexit 0\n'
const health = '    health:\n      - {type: command, name: slow, path: bin/check, timeout: 20s}\n'

describe('a rollout over a real mosquitto, with every part a process of its own', () => {
  let fleet: RealFleet
  beforeAll(async () => {
    fleet = await startRealFleet(sites)
  }, 120_000)
  afterAll(() => fleet?.stop())

  const contents = (site: string, node: number) => readFile(join(fleet.nodeRoot(site, node), 'opt/app/version'), 'utf8')
  const view = (rollout: RolloutId) => fleet.client.call(contracts.getRollout, { params: { rollout } })
  const ended = (rollout: RolloutId) => until('the rollout has ended', async () => (await view(rollout)).state === 'completed', fleet.programs(), 90_000)
  const startRollout = async (release: string, policy: Partial<RolloutPolicy> = {}) => {
    const body = { name: `to ${release}`, target: { release: release as never }, selector: { all: true as const }, policy: { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 2, ...policy } }
    return (await fleet.client.call(contracts.createRollout, { body })).id
  }

  test('reaches every node of every site', async () => {
    await fleet.publish('1.0.0', { version: { text: 'one' }, 'bin/check': { text: slowCheck, mode: 0o755 } })
    const id = await startRollout('app@1.0.0', { maxParallel: 5 })
    await ended(id)
    for (const site of sites) expect([await contents(site, 0), await contents(site, 1)]).toEqual(['one', 'one'])
  }, 120_000)

  test('survives kill -9 of an agent, of the controller and of the broker while it runs (F21, F43, F50)', async () => {
    await fleet.publish('2.0.0', { version: { text: 'two' }, 'bin/check': { text: slowCheck, mode: 0o755 } }, health)
    const id = await startRollout('app@2.0.0')
    const inPhase = async (phase: string) => (await fleet.client.call(contracts.listDeployments, { params: { rollout: id }, query: { limit: 50 } })).items.find((d) => d.phase === phase)?.site
    let victim: SiteId | undefined
    await until('a site is applying', async () => (victim = await inPhase('applying')) !== undefined, fleet.programs())
    await fleet.agents.get(victim!)!.end('SIGKILL')
    await sleep(300)
    await fleet.host.kill()
    fleet.agents.get(victim!)!.start()
    await sleep(300)
    await fleet.host.start()
    await fleet.broker.program.end('SIGKILL')
    await sleep(500)
    await fleet.broker.program.start()
    await ended(id)
    expect((await view(id)).counts).toEqual({ succeeded: sites.length })
    for (const site of sites) expect([await contents(site, 0), await contents(site, 1)]).toEqual(['two', 'two'])
  }, 180_000)

  test('takes a site back that fails its health check, and stops there', async () => {
    await fleet.publish('3.0.0', { version: { text: 'three' }, 'bin/check': { text: '#!/bin/sh\necho "it does not start"\nexit 1\n', mode: 0o755 } }, health.replace('timeout: 20s', 'timeout: 5s, retries: 0'))
    const id = await startRollout('app@3.0.0', { waves: RolloutPolicy.parse({}).waves })
    await until('the rollout has paused', async () => (await view(id)).pauses.length > 0, fleet.programs())
    const paused = await view(id)
    expect(paused.counts).toMatchObject({ 'rolled-back': 1, pending: 4 })
    for (const site of sites) expect([await contents(site, 0), await contents(site, 1)]).toEqual(['two', 'two'])
    const [failed] = (await fleet.client.call(contracts.listDeployments, { params: { rollout: id }, query: { state: 'rolled-back', limit: 5 } })).items
    expect(failed!.fault).toMatchObject({ code: 'health-check-failed', check: 'slow' })
    await fleet.client.call(contracts.abortRollout, { params: { rollout: id }, body: { mode: 'finish', reason: 'bad release' } })
  }, 120_000)

  test('starts nothing at a site whose agent is away, and lets it catch up', async () => {
    await fleet.agents.get('west')!.end('SIGTERM')
    await until('the site is offline', async () => (await fleet.online()) === sites.length - 1, fleet.programs())
    await fleet.publish('4.0.0', { version: { text: 'four' }, 'bin/check': { text: slowCheck, mode: 0o755 } })
    const id = await startRollout('app@4.0.0', { maxParallel: 5 })
    await ended(id)
    expect((await view(id)).counts).toEqual({ succeeded: 4, parked: 1 })
    const why = await fleet.client.call(contracts.explainSite, { params: { site: 'west' as SiteId } })
    expect(why.rollouts[0]!.blockers[0]).toMatchObject({ code: 'offline' })
    fleet.agents.get('west')!.start()
    await until('it has caught up', async () => (await view(id)).counts.succeeded === 5, fleet.programs())
    expect(await contents('west', 1)).toBe('four')
  }, 120_000)

  debian('installs real Debian packages, runs a script after them, and takes both back when the site is told to', async () => {
    const source = join(fleet.directory, 'releases', '5.0.0')
    await buildDeb(join(source, 'debs'), 'till-driver', '1.2')
    await mkdir(join(source, 'setup'), { recursive: true })
    await writeFile(join(source, 'setup', 'apply'), '#!/bin/sh\necho "set up for $MURMUR_TO_VERSION on $MURMUR_NODE" > "$MURMUR_NODE_ROOT/setup.txt"\n', { mode: 0o755 })
    await writeFile(join(source, 'setup', 'undo'), '#!/bin/sh\nrm -f "$MURMUR_NODE_ROOT/setup.txt"\n', { mode: 0o755 })
    const more = '  - {name: debs, driver: packages, source: debs}\n  - {name: setup, driver: script, source: setup, apply: apply, rollback: undo}\n'
    await fleet.publish('5.0.0', { version: { text: 'five' } }, more)
    const id = await startRollout('app@5.0.0', { maxParallel: 5 })
    await ended(id)
    expect((await view(id)).counts).toEqual({ succeeded: sites.length })
    const root = fleet.nodeRoot('north', 0)
    expect(await readFile(join(root, 'usr/share/till-driver/model'), 'utf8')).toBe('1.2')
    expect(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')).toMatch(/Package: till-driver\nStatus: install ok installed/)
    expect(await readFile(join(root, 'setup.txt'), 'utf8')).toBe('set up for 5.0.0 on node-0\n')
    const back = await fleet.client.call(contracts.rollbackRollout, { params: { rollout: id }, body: { reason: 'not wanted' } })
    await ended(back.id)
    expect(await readFile(join(root, 'opt/app/version'), 'utf8')).toBe('four')
    await expect(readFile(join(root, 'usr/share/till-driver/model'))).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(readFile(join(root, 'setup.txt'))).rejects.toMatchObject({ code: 'ENOENT' })
  }, 180_000)
})

/** A real package with one file, into `directory`. */
async function buildDeb(directory: string, name: string, version: string): Promise<void> {
  const content = `${directory}-content`
  await mkdir(join(content, 'DEBIAN'), { recursive: true })
  await mkdir(join(content, 'usr/share', name), { recursive: true })
  await writeFile(join(content, 'usr/share', name, 'model'), version)
  await writeFile(join(content, 'DEBIAN/control'), `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: The Murmuration authors <nobody@example.com>\nDescription: made by a test\n`)
  await mkdir(directory, { recursive: true })
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', content, join(directory, `${name}.deb`)], { stdio: 'ignore' })
}
