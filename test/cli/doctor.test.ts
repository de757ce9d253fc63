import { spawnSync } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { noteAtWork } from '../../db/versions-at-work.ts'
import { exitCodes } from '../../cli/exit-codes.ts'
import type { Examination } from '../../cli/doctor/examine.ts'
import { bringBack } from '../support/bring-back.ts'
import { freePort } from '../support/free-port.ts'
import { endedCertificate, localhostKey, untrustedCertificate } from '../support/tls-certificates.ts'
import { murmurAlone, startBench, testIo, type Bench } from './command.support.ts'

const failed = exitCodes['link-failed'].code

describe('murmur infra doctor', () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await startBench()
    const { controller } = bench
    controller.clock.advance(Date.now() - controller.clock.nowMs())
    await controller.db.write([noteAtWork('0.0.0-test', controller.clock.nowMs())])
    bringBack(controller)
  })
  afterAll(() => bench.close())

  const doctor = (more: Parameters<Bench['murmur']>[1] = {}, args: string[] = []) => bench.murmur(['infra', 'doctor', ...args], { nowMs: Date.now, ...more })
  const states = ({ out }: { out: string }) => Object.fromEntries((JSON.parse(out) as Examination).findings.map(({ from, link, state }) => [`${from} ${link}`, state]))

  test('ends well where every link works, one line for each', async () => {
    const ended = await doctor()
    expect([ended.code, ended.out.match(/^ {2}✗.*/gm)]).toEqual([0, null])
    expect(ended.out).toMatch(/✓ tcp .*\n.*✓ tls +not needed on one machine/)
    expect(ended.out).toMatch(/✓ download +a signed download from .* gave what was put there/)
    expect(ended.out).toContain('From the controller (node, version 0.0.0-test):')
    expect(ended.out).toMatch(/Everything works\.\n$/)
  })

  test('ends with a status of its own when one fails, says how to mend it, and says the same in JSON', async () => {
    bench.controller.broker.reachable = false
    const ended = await doctor()
    expect(ended.code).toBe(failed)
    expect(ended.out).toMatch(/✗ broker +it did not acknowledge a message → see whether it runs/)
    expect(ended.out).toMatch(/– ingest/)
    const json = await doctor({}, ['-o', 'json'])
    expect(states(json)).toMatchObject({ 'here http': 'ok', 'here download': 'ok', 'controller broker': 'failing', 'controller ingest': 'not-checked', 'controller store': 'ok' })
    bench.controller.broker.reachable = true
  })

  test('says that the download from outside fails though the store works inside', async () => {
    const fetchElsewhere: typeof fetch = (input, init) => (String(input).startsWith('http://store.test') ? Promise.resolve(new Response('cached page')) : fetch(input, init))
    const ended = await doctor({ fetch: fetchElsewhere })
    expect([ended.code, ended.out]).toEqual([failed, expect.stringMatching(/✗ download +store\.test gave other bytes/)])
    expect(ended.out).toMatch(/✓ store/)
  })

  test.each([['viewer', /✗ token +token:viewer is only viewer → give a token of the role admin/], [null, /✗ token/]] as const)('looks from outside all the same with the token of %s', async (as, words) => {
    const ended = as === null ? await murmurAlone(['--url', bench.url, 'infra', 'doctor'], testIo(bench.directory, { nowMs: Date.now })) : await doctor({ as })
    expect([ended.code, ended.out]).toEqual([failed, expect.stringMatching(words)])
    expect(ended.out).toContain('✓ ready')
    expect(ended.out).toContain('could not be checked')
  })

  test('says which part is away when nobody can be authenticated', async () => {
    const { deps } = bench.controller
    const { db } = deps
    deps.db = await openDatabase('http://127.0.0.1:1')
    const ended = await doctor()
    deps.db = db
    expect(ended.code).toBe(failed)
    expect(ended.out).toMatch(/✓ http/)
    expect(ended.out).toMatch(/✗ ready +database: the database does not answer → see whether the database runs/)
    expect(ended.out).toMatch(/✗ token +the database does not answer/)
  })

  test('finds a clock here that is off', async () => {
    expect((await doctor({ nowMs: () => Date.now() - 3_600_000 })).out).toMatch(/✗ clock +the controller's clock is 3600 s ahead of the one here/)
  })
})

describe('murmur infra doctor before a controller that is not there', () => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })
  const doctor = async (url: string, more: Parameters<typeof testIo>[1] = {}) => murmurAlone(['--url', url, '--token', 'x', 'infra', 'doctor'], testIo(tmpdir(), { nowMs: Date.now, ...more }))

  test('says which step of the way fails: name, port, TLS or HTTP', async () => {
    expect((await doctor('https://controller.invalid')).out).toMatch(/✗ dns /)
    expect((await doctor(`http://127.0.0.1:${await freePort()}`)).out).toMatch(/✓ dns .*\n.*✗ tcp +connect ECONNREFUSED/)
    const url = await plainServer()
    expect((await doctor(url.replace('http:', 'https:'))).out).toMatch(/✓ tcp .*\n.*✗ tls /)
    const ended = await doctor(url)
    expect([ended.code, ended.out]).toEqual([failed, expect.stringMatching(/✗ http +something answers, but no controller: 200 with something that is not JSON/)])
  })

  test.each([
    ['not trusted', untrustedCertificate, /✗ tls +nobody trusts the certificate: DEPTH_ZERO_SELF_SIGNED_CERT → .*NODE_EXTRA_CA_CERTS/],
    ['over', endedCertificate, /✗ tls +the certificate ended on Feb .* 2020/],
  ])('tells a certificate that is %s', async (_, cert, words) => {
    const server = createTlsServer({ key: localhostKey, cert }, (__, response) => response.end()).listen(0, '127.0.0.1')
    await listening(server)
    expect((await doctor(`https://localhost:${(server.address() as AddressInfo).port}`)).out).toMatch(words)
  })

  async function plainServer(): Promise<string> {
    const server = createServer((_, response) => response.end('<html>')).listen(0, '127.0.0.1')
    await listening(server)
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  async function listening(server: Server): Promise<void> {
    await new Promise((resolve) => server.once('listening', resolve))
    undo.push(() => new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    }))
  }
})

describe('murmur infra migrate', () => {
  let directory: string
  beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'murmur-migrate-'))))
  afterAll(() => rm(directory, { recursive: true, force: true }))
  const root = join(import.meta.dirname, '../..')
  const run = (program: string, args: string[], env: Record<string, string>) => spawnSync(process.execPath, [join(root, program), ...args], { env: { MURMUR_DATA: directory, ...env }, encoding: 'utf8' })

  test('shows what a database lacks, brings it up to date when told to, and then has nothing to do', { timeout: 60_000 }, () => {
    const command = (args: string[]) => run('cli/murmur.mjs', ['infra', 'migrate', ...args], {})
    expect(command([])).toMatchObject({ status: 0, stdout: expect.stringMatching(/lacks +0001_.*\n(.|\n)*--apply/) })
    expect(command(['--apply'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/applied +0001_.*\n(.|\n)*Up to date/) })
    const after = command(['-o', 'json'])
    expect(JSON.parse(after.stdout)).toMatchObject({ pending: [], held: [], applied: expect.arrayContaining([expect.stringMatching(/^0001_/)]) })
  })

  test('says in one line what is wrong with the settings or the database', { timeout: 60_000 }, () => {
    const program = 'infra/migrate/main.ts'
    expect(run(program, [], { MURMUR_DATABASE_URL: 'postgres://x' })).toMatchObject({ status: 2, stderr: expect.stringContaining('MURMUR_DATABASE_URL: must be') })
    expect(run(program, [], { MURMUR_DATABASE_URL: 'http://127.0.0.1:1' })).toMatchObject({ status: 6, stderr: expect.stringMatching(/^the database does not answer: .*\n$/) })
  })
})
