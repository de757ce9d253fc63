import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '../../cli/client.ts'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { ReleaseId, RolloutId, SiteId } from '../../protocol/ids.ts'
import { makeKey, signTrust } from '../support/controller.ts'
import { freePort } from '../support/free-port.ts'
import { Program, sleep, until } from '../support/program.ts'
import { unpackReleasedVersion } from '../support/released-version.ts'

export type Age = 'released' | 'present'
const present = join(import.meta.dirname, '../..')
export const fleet = 'practice'

/** A place for programs of the released and of the present version, with the keys of one fleet. */
export async function openWorkshop() {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-versions-'))
  const trees: Record<Age, string> = { present, released: await unpackReleasedVersion(join(directory, 'released')) }
  const data = join(directory, 'data')
  await mkdir(data, { mode: 0o700 })
  const keys = await openNodeKeys(nodeCrypto, data)
  const [root, publisher] = [await makeKey('root'), await makeKey('publisher')]
  const programs: Program[] = []
  const [httpPort, brokerPort] = [String(await freePort()), String(await freePort())]

  const program = (name: string, path: string, args: readonly string[] = [], environment: Record<string, string> = {}): Program => {
    const made = new Program(name, process.execPath, [path, ...args], environment)
    programs.push(made)
    return made
  }
  const adminToken = async (): Promise<string> => (await readFile(join(data, 'admin-token'), 'utf8')).trim()

  return {
    directory, data, trees, programs, program, adminToken,
    /** A whole controller with its own broker and database, from its entry; the next one takes the place of the one before once that has ended. */
    async startController(age: Age): Promise<{ url: string; client: Client; program: Program }> {
      const controller = program(`${age} controller`, join(trees[age], 'functions/entry/node.ts'), [], { MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: httpPort, MURMUR_BROKER_PORT: brokerPort })
      controller.start()
      const url = `http://127.0.0.1:${httpPort}`
      await until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, programs)
      return { url, client: createClient({ url, token: await adminToken(), sleep }), program: controller }
    },
    async trust(client: Client): Promise<void> {
      const fleetKey = { keyid: keys.fleet.keyid, publicKey: toBase64(keys.fleet.publicKey), name: 'fleet' }
      await client.call(contracts.putTrust, { body: await signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [fleetKey] }) })
    },
    /** Enrols an agent of one version at a new site, starts it, and waits until the controller sees it. Returns the directory that is its node. */
    async addSite(client: Client, site: string, age: Age): Promise<string> {
      const { claim } = await client.call(contracts.createSite, { body: { id: site as SiteId } })
      const [state, node] = [join(directory, 'agents', site), join(directory, 'nodes', site)]
      await mkdir(node, { recursive: true })
      const agent = join(trees[age], 'edge-agent/murmur-agent.mjs')
      const enrolment = program(`enrol ${site}`, agent, [...claim.enrolLine.split(' ').slice(1), '--state', state, '--node', `node-0=${node},controller`])
      enrolment.start()
      await until(`${site} has its configuration`, async () => (await readFile(join(state, 'agent.json'), 'utf8')) !== '' && enrolment.output.includes('"enrolled"'), programs)
      // a test does not wait for the politeness of a large fleet
      await writeFile(join(state, 'agent.json'), JSON.stringify({ ...(JSON.parse(await readFile(join(state, 'agent.json'), 'utf8')) as object), jitterMs: 200, reconnectMsMax: 1000, keepAliveS: 5 }))
      program(`${age} agent ${site}`, agent, ['run', '--state', state]).start()
      await until(`${site} is online`, async () => (await client.call(contracts.getSite, { params: { site: site as SiteId } })).presence === 'online', programs)
      return node
    },
    /** Publishes `app` with one file at /opt/app/version that says the version. `more` are further lines of its release file. */
    async publish(client: Client, version: string, more = ''): Promise<ReleaseId> {
      const source = join(directory, 'releases', version)
      await mkdir(join(source, 'tree'), { recursive: true })
      await writeFile(join(source, 'tree/version'), version)
      const yaml = `name: app\nversion: ${version}\n${more}components:\n  - name: app\n    driver: files\n    source: tree\n    target: /opt/app\n`
      await writeFile(join(source, 'release.yaml'), yaml)
      return (await publishRelease({ client, file: parseReleaseFile(yaml, join(source, 'release.yaml')), key: publisher })).release.id
    },
    async rollOut(client: Client, release: string): Promise<RolloutId> {
      const view = await client.call(contracts.createRollout, { body: { name: release, target: { release: release as ReleaseId }, selector: { all: true }, policy: { maxParallel: 2 } } })
      return view.id
    },
    /** Waits until a rollout has completed. */
    async completed(client: Client, id: RolloutId): Promise<RolloutView> {
      const look = () => client.call(contracts.getRollout, { params: { rollout: id } })
      await until(`rollout ${id} completes`, async () => (await look()).state === 'completed', programs, 90_000)
      return look()
    },
    async close(): Promise<void> {
      for (const each of programs) await each.end()
      await rm(directory, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/** Hands each request to the next of its backends, as a load balancer does while a new version is being deployed. */
export async function startBalancer(): Promise<{ url: string; backends: string[]; close(): void }> {
  const backends: string[] = []
  let turn = 0
  const server: Server = createServer((incoming, answer) => {
    const backend = backends[turn++ % backends.length]
    if (backend === undefined) return void answer.writeHead(503).end()
    const forwarded = request(new URL(incoming.url ?? '/', backend), { method: incoming.method, headers: incoming.headers }, (theirs) => {
      answer.writeHead(theirs.statusCode ?? 502, theirs.headers)
      theirs.pipe(answer)
    })
    forwarded.on('error', () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()))
    incoming.pipe(forwarded)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, backends,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
