import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '../../cli/client.ts'
import { publishRelease, type Published } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { brokerCredentials } from '../../functions/adapters/broker-password.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { mosquittoAcl, mosquittoConfiguration, mosquittoPasswords } from '../../infra/mosquitto/configuration.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import { freePort } from '../support/free-port.ts'
import { makeKey, signTrust, type TestKey } from '../support/controller.ts'

const root = join(import.meta.dirname, '../..')
const fleet = 'practice' as FleetId
export const sleep = (spanMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, spanMs))

/** What still runs: a test that fails half-way must not leave anything behind. */
const alive = new Set<ChildProcess>()
process.once('exit', () => alive.forEach((child) => child.kill('SIGKILL')))

/** A program that a test starts, kills without warning, and starts again. Its output is kept for a failure's message. */
export class Program {
  readonly name: string
  readonly #start: () => ChildProcess
  #child: ChildProcess | null = null
  output = ''

  constructor(name: string, command: string, args: readonly string[], environment: Record<string, string> = {}) {
    this.name = name
    this.#start = () => spawn(command, args, { cwd: tmpdir(), env: { PATH: process.env.PATH ?? '', HOME: tmpdir(), ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  start(): void {
    const child = this.#start()
    this.#child = child
    alive.add(child)
    child.once('exit', () => alive.delete(child))
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (this.output = (this.output + data.toString()).slice(-40_000)))
  }

  /** Ends it and waits until it is gone; SIGKILL gives it no chance to tidy up. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }
}

/** Asks again until `probe` says yes; throws with `what` and the end of the programs' output when time is up. */
export async function until(what: string, probe: () => Promise<boolean>, programs: readonly Program[], limitMs = 60_000): Promise<void> {
  const endMs = Date.now() + limitMs
  while (Date.now() < endMs) {
    if (await probe().catch(() => false)) return
    await sleep(100)
  }
  throw new Error(`it never came to this: ${what}\n${programs.map((p) => `--- ${p.name}\n${p.output.slice(-3000)}`).join('\n')}`)
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    setTimeout(() => socket.destroy(), 500).unref()
  })

export type RealFleet = Awaited<ReturnType<typeof startRealFleet>>

/** A controller, a mosquitto and one agent per site, each a process of its own, in a temporary directory. */
export async function startRealFleet(sites: readonly string[], nodesPerSite = 2) {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-e2e-'))
  const data = join(directory, 'data')
  await mkdir(data, { mode: 0o700 })
  const keys = await openNodeKeys(nodeCrypto, data)
  const [brokerPort, httpPort] = [await freePort(), await freePort()]
  const brokerUrl = `mqtt://127.0.0.1:${brokerPort}`
  const url = `http://127.0.0.1:${httpPort}`

  const users: [string, string][] = [['controller', 'of this fleet']]
  for (const site of sites) users.push([site, (await brokerCredentials(nodeCrypto, keys.ingestSecret(), fleet, site as SiteId, 1, brokerUrl)).password])
  await writeFile(join(directory, 'passwords'), mosquittoPasswords(users), { mode: 0o600 })
  await writeFile(join(directory, 'acl'), mosquittoAcl(fleet, 'controller'), { mode: 0o600 })
  await writeFile(join(directory, 'mosquitto.conf'), `user root\nlog_dest none\n${mosquittoConfiguration({ listener: `${brokerPort} 127.0.0.1`, directory, persistence: false })}`)
  const broker = new Program('mosquitto', '/usr/sbin/mosquitto', ['-c', join(directory, 'mosquitto.conf')])
  const controller = new Program('controller', process.execPath, [join(root, 'functions/entry/node.ts')], {
    MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: String(httpPort), MURMUR_BROKER_URL: brokerUrl, MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'of this fleet',
  })
  const agents = new Map<string, Program>()
  const programs = () => [controller, ...agents.values(), broker]
  const controllerIsUp = () => until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, programs())

  broker.start()
  await until('mosquitto answers', () => answers(brokerPort), [broker])
  controller.start()
  await controllerIsUp()
  const client: Client = createClient({ url, token: (await readFile(join(data, 'admin-token'), 'utf8')).trim(), sleep })
  const [rootKey, publisher]: TestKey[] = [await makeKey('root'), await makeKey('publisher')]
  const fleetKey = { keyid: keys.fleet.keyid, publicKey: toBase64(keys.fleet.publicKey), name: 'fleet' }
  await client.call(contracts.putTrust, { body: await signTrust(rootKey!, { publisherKeys: [publisher!.trusted], fleetKeys: [fleetKey] }) })

  const nodeRoot = (site: string, node: number): string => join(directory, 'nodes', site, `node-${node}`)
  async function enrol(site: string): Promise<void> {
    const { claim } = await client.call(contracts.createSite, { body: { id: site as SiteId, labels: { site } } })
    const state = join(directory, 'agents', site)
    const nodes = []
    for (let n = 0; n < nodesPerSite; n++) {
      await mkdir(nodeRoot(site, n), { recursive: true })
      nodes.push('--node', `node-${n}=${nodeRoot(site, n)},${n === nodesPerSite - 1 ? 'controller' : 'worker'}`)
    }
    const words = claim.enrolLine.split(' ').slice(1)
    const enrolment = new Program(`enrol ${site}`, process.execPath, [join(root, 'edge-agent/murmur-agent.mjs'), ...words, '--state', state, ...nodes])
    enrolment.start()
    await until(`${site} is enrolled`, async () => (await client.call(contracts.getSite, { params: { site: site as SiteId } })).state === 'enrolled', [enrolment, controller])
    await until(`${site} has its configuration`, async () => (await readFile(join(state, 'agent.json'), 'utf8')) !== '' && enrolment.output.includes('enrolled'), [enrolment])
    // a test does not wait for the politeness of a large fleet
    const config = JSON.parse(await readFile(join(state, 'agent.json'), 'utf8')) as object
    await writeFile(join(state, 'agent.json'), JSON.stringify({ ...config, jitterMs: 200, reconnectMsMax: 1000, keepAliveS: 5 }))
    agents.set(site, new Program(`agent ${site}`, process.execPath, [join(root, 'edge-agent/murmur-agent.mjs'), 'run', '--state', state]))
  }
  for (const site of sites) await enrol(site)
  for (const agent of agents.values()) agent.start()
  const online = async () => (await client.call(contracts.listSites, { query: { limit: 500 } })).items.filter((s) => s.presence === 'online').length
  await until('every site is online', async () => (await online()) === sites.length, programs())

  return {
    directory, url, client, broker, controller, agents, programs, nodeRoot, controllerIsUp, online,
    /** Publishes a release from text: the files of one `files` component at /opt/app, and what its health check is. */
    async publish(version: string, files: Record<string, { text: string; mode?: number }>, extra = ''): Promise<Published> {
      const source = join(directory, 'releases', version)
      for (const [path, { text, mode }] of Object.entries(files)) {
        await mkdir(join(source, 'tree', path, '..'), { recursive: true })
        await writeFile(join(source, 'tree', path), text, { mode: mode ?? 0o644 })
      }
      const yaml = `name: app\nversion: ${version}\ncomponents:\n  - name: app\n    driver: files\n    source: tree\n    target: /opt/app\n${extra}`
      await writeFile(join(source, 'release.yaml'), yaml)
      return publishRelease({ client, file: parseReleaseFile(yaml, join(source, 'release.yaml')), key: publisher! })
    },
    async stop(): Promise<void> {
      for (const program of programs()) await program.end()
      await rm(directory, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

