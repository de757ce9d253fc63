import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { startPracticeController, type PracticeController } from '../../infra/local/controller.ts'
import { startFleet, type PracticeFleet } from '../../infra/local/fleet.ts'
import { planFleet } from '../../infra/local/plan-fleet.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import { sleep, until } from '../support/program.ts'

const murmur = join(import.meta.dirname, '../../cli/murmur.mjs')

describe('the drill with real agents: the database is lost, and comes back from a backup made before its sites moved on (I17, F58)', () => {
  let home: string
  let data: string
  let controller: PracticeController
  let fleet: PracticeFleet
  let late: PracticeFleet
  const port = { http: 0 }

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'murmur-drill-'))
    data = join(home, 'data')
    await start()
  })
  afterAll(async () => {
    await Promise.all([fleet?.stop(), late?.stop()])
    await controller?.stop()
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  })

  async function start(): Promise<void> {
    controller = await startPracticeController({ data, port: port.http })
    port.http = Number(new URL(controller.url).port)
  }

  /** The command, as a person runs it beside the controller. */
  const run = (...args: string[]): Promise<{ status: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const env = { PATH: process.env.PATH ?? '', HOME: home, MURMUR_DATA: data, MURMUR_FLEET: 'practice' }
      execFile(process.execPath, [murmur, ...args], { cwd: home, env }, (error, out, err) => resolve({ status: error === null ? 0 : Number(error.code), out, err }))
    })

  const sites = () => planFleet({ sites: 6, regions: 6, nodes: 1, directory: join(home, 'fleet') })
  const installed = async (index: number): Promise<string> => (await readFile(join(sites()[index]!.nodes[0]!.root, 'opt/app/version'), 'utf8').catch(() => 'nothing'))
  const everywhere = () => Promise.all(sites().map((_, i) => installed(i)))
  const id = (index: number): SiteId => sites()[index]!.id as SiteId

  async function publish(version: string): Promise<void> {
    const source = join(home, 'releases', version)
    await mkdir(join(source, 'tree'), { recursive: true })
    await writeFile(join(source, 'tree', 'version'), version)
    const yaml = `name: app\nversion: ${version}\ncomponents:\n  - name: app\n    driver: files\n    source: tree\n    target: /opt/app\n`
    await writeFile(join(source, 'release.yaml'), yaml)
    await publishRelease({ client: controller.client, file: parseReleaseFile(yaml, join(source, 'release.yaml')), key: controller.keys.publisher })
  }

  const oneWave = { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 10 }
  async function rollOut(version: string, more: { sites?: number[]; policy?: object } = {}): Promise<RolloutId> {
    const selector = more.sites === undefined ? { all: true as const } : { sites: more.sites.map(id) }
    return (await controller.client.call(contracts.createRollout, { body: { name: `to ${version}`, target: { release: `app@${version}` as never }, selector, policy: { ...oneWave, ...more.policy } } })).id
  }
  const view = (rollout: RolloutId) => controller.client.call(contracts.getRollout, { params: { rollout } })
  const completed = (rollout: RolloutId) => until('the rollout has completed', async () => (await view(rollout)).state === 'completed', [], 60_000)
  const site = (index: number) => controller.client.call(contracts.getSite, { params: { site: id(index) } })
  const differences = async () => (await controller.client.call(contracts.listDifferences, { query: { limit: 50 } })).items
  const removeDatabase = async () => {
    for (const end of ['', '-wal', '-shm']) await rm(join(data, `controller.db${end}`), { force: true })
  }

  test('no site goes back, the differences are right, and the next release reaches all', { timeout: 240_000 }, async () => {
    fleet = await startFleet(controller, sites().slice(0, 5), { logPath: join(home, 'agents.log'), onReady: () => undefined })
    await until('all are there', async () => (await Promise.all([0, 1, 2, 3, 4].map(site))).every(({ presence }) => presence === 'online'), [])
    await publish('1.0.0')
    await completed(await rollOut('1.0.0'))
    await publish('1.0.5')
    const half = await rollOut('1.0.5', { policy: { waves: [{ name: 'canary', size: 1, barrier: true, successThreshold: 1, approval: true }, { name: 'rest', size: 'rest' }] } })
    await until('the canary has it', async () => (await view(half)).counts.succeeded === 1, [])

    const backup = await run('backup', '--keep', '3')
    expect(backup).toMatchObject({ status: 0, out: expect.stringMatching(/^\d{8}t\d{9}z .* rows /), err: expect.stringContaining('Not in any backup') })
    expect(await run('backup', 'verify')).toMatchObject({ status: 0, out: expect.stringContaining('is whole') })
    expect((await run('backup', 'list')).out.split('\n')).toHaveLength(2)

    // what the backup does not know: the rest of 1.0.5, two sites on 1.1.0, one site removed, one enrolled, a token revoked
    const { token } = await controller.client.call(contracts.createToken, { body: { name: 'made later', role: 'viewer' } })
    await controller.client.call(contracts.approveRollout, { params: { rollout: half }, body: { wave: 'canary', reason: '' } })
    await completed(half)
    await publish('1.1.0')
    await completed(await rollOut('1.1.0', { sites: [0, 1] }))
    late = await startFleet(controller, sites().slice(5), { logPath: join(home, 'late.log'), onReady: () => undefined })
    await until('the newcomer is there', async () => (await site(5)).presence === 'online', [])
    await completed(await rollOut('1.1.0', { sites: [5] }))
    await controller.client.call(contracts.removeSite, { params: { site: id(4) } })
    await controller.client.call(contracts.revokeToken, { params: { token: token.id } })
    const ran = ['1.1.0', '1.1.0', '1.0.5', '1.0.5', '1.0.5', '1.1.0']
    expect(await everywhere()).toEqual(ran)

    // the database is gone; a controller that was started over nothing is not overwritten
    await controller.stop()
    await removeDatabase()
    await start()
    await controller.stop()
    expect(await run('restore')).toMatchObject({ status: 4, err: expect.stringContaining('is not empty') })
    await removeDatabase()
    expect(await run('restore', '--digest', '0'.repeat(64))).toMatchObject({ status: 9 })
    const restored = await run('restore')
    expect(restored).toMatchObject({ status: 0, out: expect.stringMatching(/^restored \d{8}t\d{9}z: \d+ rows, epoch 1\n/) })
    await start()

    await until('every site that is known has said hello', async () => (await Promise.all([0, 1, 2, 3, 4].map(site))).every(({ presence }) => presence === 'online'), [], 60_000)
    await sleep(6000)
    expect(await everywhere()).toEqual(ran)
    const found = Object.fromEntries((await differences()).map((each) => [each.site, [each.verdict, each.backup?.running?.id ?? null, each.heard?.running?.id ?? null]]))
    const canary = (await controller.client.call(contracts.listDeployments, { params: { rollout: half }, query: { limit: 50 } })).items.find(({ wave }) => wave === 'canary')!.site
    for (const index of [0, 1]) expect(found[id(index)]).toEqual(['moved-on', id(index) === canary ? 'app@1.0.5' : 'app@1.0.0', 'app@1.1.0'])
    for (const index of [2, 3, 4]) expect(found[id(index)]).toEqual(id(index) === canary ? undefined : ['moved-on', 'app@1.0.0', 'app@1.0.5'])
    expect(await readFile(join(data, 'controller.log'), 'utf8')).toContain(`"event":"broker.unknown-site","site":"${id(5)}"`)
    const listed = await run('restore', 'differences', '--url', controller.url, '--token', controller.token)
    expect(listed).toMatchObject({ status: 0, out: expect.stringContaining('murmur restore releases'), err: expect.stringContaining('back from') })

    // the operator resumes what was half-way, and lets it go on: it has nothing left to do that would take a site back
    expect((await view(half)).pauses.map(({ reason }) => reason)).toEqual(['restored'])
    await controller.client.call(contracts.resumeRollout, { params: { rollout: half }, body: { reason: '' } })
    await controller.client.call(contracts.approveRollout, { params: { rollout: half }, body: { wave: 'canary', reason: '' } })
    await completed(half)
    await sleep(1000)
    expect(await everywhere()).toEqual(ran)

    // what was published after the backup is announced again, the newcomer enrols again, and a new release reaches everybody
    expect(await run('restore', 'releases', '-o', 'name', '--url', controller.url, '--token', controller.token)).toMatchObject({ status: 0, out: 'app@1.1.0\n' })
    await until('it is available again', async () => (await controller.client.call(contracts.getRelease, { params: { release: 'app@1.1.0' as never } })).state === 'available', [])
    expect((await differences()).every(({ heard }) => heard?.releaseKnown !== false)).toBe(true)
    await late.stop()
    late = await startFleet(controller, sites().slice(5), { logPath: join(home, 'late.log'), onReady: () => undefined })
    await until('the newcomer is there again', async () => (await site(5)).presence === 'online', [], 60_000)
    expect(await site(5)).toMatchObject({ incarnation: 1001, running: { id: 'app@1.1.0' } })
    await publish('1.2.0')
    const last = await rollOut('1.2.0')
    await completed(last)
    expect((await view(last)).counts).toEqual({ succeeded: 6 })
    expect(await everywhere()).toEqual(Array.from({ length: 6 }, () => '1.2.0'))
  })
})
