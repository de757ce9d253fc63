import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readOptions, UsageError } from '../../infra/local/options.ts'
import { planFleet } from '../../infra/local/plan-fleet.ts'

const program = join(import.meta.dirname, '..', '..', 'infra', 'local', 'start.ts')

type Ended = { status: number | null; output: string }

/** Runs `npm start`'s program; `onOutput` may end it early. */
function start(args: readonly string[], onOutput: (output: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const take = (chunk: Buffer): void => {
    output += chunk.toString()
    onOutput(output, (signal) => void child.kill(signal))
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, output })))
}

describe('npm start', () => {
  let home: string
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'murmur-start-'))
  })
  afterAll(() => rm(home, { recursive: true, force: true }))

  const practise = (data: string, onOutput?: Parameters<typeof start>[1]): Promise<Ended> => start(['--once', '--sites', '4', '--port', '0', '--data', data], onOutput)

  test('takes a fleet through two releases, has one site go back, checks all of it, and ends with status 0; the second time there is nothing to do', { timeout: 180_000 }, async () => {
    const data = join(home, 'whole')
    const first = await practise(data)
    expect(first.output).toContain('It is completed: 3 succeeded, 1 rolled-back')
    expect(first.output).toContain('agree, at all 4 sites')
    expect(first.status).toBe(0)
    const refusing = (await readFile(join(data, 'refusing-site'), 'utf8')).trim()
    const page = (site: string): Promise<string> => readFile(join(data, 'fleet', site, 'nodes', 'node-2', 'srv', 'sign', 'index.html'), 'utf8')
    for (const { id } of planFleet({ sites: 4, regions: 4, nodes: null, directory: '' })) expect(await page(id)).toContain(id === refusing ? 'release 1.0.0' : 'release 1.1.0')

    const second = await practise(data)
    expect(second.output).not.toContain('Publishing')
    expect(second.output.match(/Rollout of an earlier start/g)).toHaveLength(2)
    expect(second.status).toBe(0)
  })

  test('killed in the middle of a rollout, goes on at the next start and gets to the same end (F50)', { timeout: 180_000 }, async () => {
    const data = join(home, 'killed')
    const killed = await practise(data, (output, kill) => {
      if (/wave canary is open/.test(output)) kill('SIGKILL')
    })
    expect(killed.status).toBeNull()
    const next = await practise(data)
    expect(next.output).toContain('Rollout of an earlier start')
    expect(next.output).toContain('agree, at all 4 sites')
    expect(next.status).toBe(0)
  })

  test('without a practice fleet brings up the controller alone, keeps its secrets to its owner, and stops at SIGINT', { timeout: 60_000 }, async () => {
    const data = join(home, 'alone')
    const { status, output } = await start(['--no-practice-fleet', '--port', '0', '--data', data], (text, kill) => {
      if (text.includes('Ctrl-C stops')) kill('SIGINT')
    })
    expect(status).toBe(0)
    expect(output).toContain('/docs')
    expect((await stat(data)).mode & 0o777).toBe(0o700)
    for (const name of ['cli.json', 'admin-token', 'keys/root.pem', 'keys/publisher.pem', 'keys/fleet-key.pem', 'keys/ingest-secret']) expect((await stat(join(data, name))).mode & 0o777, name).toBe(0o600)
    expect(JSON.parse(await readFile(join(data, 'cli.json'), 'utf8'))).toEqual({ url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/), token: expect.stringMatching(/^mm_/), rootFingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) })
  })

  test('does not start twice in one directory', { timeout: 60_000 }, async () => {
    const data = join(home, 'twice')
    let second: Promise<Ended> | null = null
    const first = await start(['--no-practice-fleet', '--port', '0', '--data', data], (text, kill) => {
      if (second !== null || !text.includes('Ctrl-C stops')) return
      second = start(['--no-practice-fleet', '--port', '0', '--data', data])
      void second.then(() => kill('SIGTERM'))
    })
    expect(first.status).toBe(0)
    const { status, output } = await second!
    expect(output).toMatch(/process \d+ is at work in/)
    expect(status).toBe(1)
  })
})

describe('its command line', () => {
  test('has a default for everything', () => {
    expect(readOptions([], '/srv/here')).toEqual({ sites: 12, regions: 4, nodes: null, port: 8787, data: '/srv/here/.murmur', fresh: false, once: false, practiceFleet: true })
    expect(readOptions(['--help'], '/')).toBeNull()
  })
  test('says what is wrong with it', () => {
    for (const args of [['--sites', '0'], ['--sites', 'many'], ['--port', '70000'], ['--nodes', '99'], ['--nonsense'], ['word'], ['--sites']]) expect(() => readOptions(args, '/')).toThrow(UsageError)
  })
})

describe('the practice fleet', () => {
  test('has sites of its own name in every region, one canary, and the agent on one node of each', () => {
    const sites = planFleet({ sites: 200, regions: 26, nodes: null, directory: '/fleet' })
    expect(new Set(sites.map(({ id }) => id)).size).toBe(200)
    expect(new Set(sites.map(({ labels }) => labels['region'])).size).toBe(26)
    expect(sites.filter(({ labels }) => labels['tier'] === 'canary')).toHaveLength(1)
    for (const { nodes } of sites) expect(nodes.filter(({ hasAgent }) => hasAgent)).toHaveLength(1)
  })
})
