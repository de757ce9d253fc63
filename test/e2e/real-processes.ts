import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { publishRelease, type Published } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import { Program, until } from '../support/program.ts'
import { startMosquitto } from '../support/start-mosquitto.ts'
import { startWhole } from '../support/start-whole.ts'
import type { Host, HostName } from './hosts/host.ts'
import { startNodeHost } from './hosts/node.ts'
import { startWorkerHost } from './hosts/worker.ts'

const agentProgram = join(import.meta.dirname, '../../edge-agent/murmur-agent.mjs')
const fleet = 'practice' as FleetId
const brokerPassword = 'of this fleet'
const starters: Record<HostName, typeof startNodeHost> = { node: startNodeHost, worker: startWorkerHost }

export type RealFleetOptions = {
  /** Where the controller runs; by default as one Node process. */
  host?: HostName
  nodesPerSite?: number
  /** For the controller, besides those it needs. */
  settings?: Record<string, string>
}
export type RealFleet = Awaited<ReturnType<typeof startRealFleet>>

/** A controller, a mosquitto and one agent per site, each a process of its own, in a temporary directory; every site is online. */
export async function startRealFleet(sites: readonly string[], options: RealFleetOptions = {}) {
  return startWhole((undo) => startParts(sites, options, undo))
}

async function startParts(sites: readonly string[], { host: hostName = 'node', nodesPerSite = 2, settings }: RealFleetOptions, undo: (() => Promise<unknown>)[]) {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-e2e-'))
  undo.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
  const broker = await startMosquitto({ fleet, controllerPassword: brokerPassword, directory, webSocket: true })
  undo.push(broker.stop)
  const host: Host = await starters[hostName]({ directory, fleet, broker, brokerPassword, ...(settings === undefined ? {} : { settings }) })
  undo.push(host.stop)
  const { client } = host
  const agents = new Map<string, Program>()
  undo.push(() => Promise.all([...agents.values()].map((agent) => agent.end())))
  const programs = () => [...host.programs, ...agents.values(), broker.program]

  const nodeRoot = (site: string, node: number): string => join(directory, 'nodes', site, `node-${node}`)
  const viewSite = (site: string) => client.call(contracts.getSite, { params: { site: site as SiteId } })
  const online = async (): Promise<number> => (await client.call(contracts.listSites, { query: { limit: 500, presence: 'online' } })).items.length

  /** Adds a site and runs its enrolment line; its agent does not run yet. */
  async function enrol(site: string): Promise<{ claim: string }> {
    const { claim } = await client.call(contracts.createSite, { body: { id: site as SiteId, labels: { site } } })
    const state = join(directory, 'agents', site)
    const nodes: string[] = []
    for (let n = 0; n < nodesPerSite; n++) {
      await mkdir(nodeRoot(site, n), { recursive: true })
      nodes.push('--node', `node-${n}=${nodeRoot(site, n)},${n === nodesPerSite - 1 ? 'controller' : 'worker'}`)
    }
    const enrolment = new Program(`enrol ${site}`, process.execPath, [agentProgram, ...claim.enrolLine.split(' ').slice(1), '--state', state, ...nodes])
    enrolment.start()
    await until(`${site} is enrolled`, async () => (await viewSite(site)).state === 'enrolled', [enrolment, ...host.programs])
    await until(`${site} has its configuration`, async () => (await readFile(join(state, 'agent.json'), 'utf8')) !== '' && enrolment.output.includes('enrolled'), [enrolment])
    // a test does not wait for the politeness of a large fleet
    const config = JSON.parse(await readFile(join(state, 'agent.json'), 'utf8')) as object
    await writeFile(join(state, 'agent.json'), JSON.stringify({ ...config, jitterMs: 200, reconnectMsMax: 1000, keepAliveS: 5 }))
    agents.set(site, new Program(`agent ${site}`, process.execPath, [agentProgram, 'run', '--state', state]))
    return { claim: claim.claim }
  }
  for (const site of sites) await enrol(site)
  for (const agent of agents.values()) agent.start()
  await until('every site is online', async () => (await online()) === sites.length, programs())

  return {
    directory, url: host.url, client, host, broker, agents, programs, nodeRoot, online, enrol,
    /** Publishes a release from text: the files of one `files` component at /opt/app, and what its health check is. */
    async publish(version: string, files: Record<string, { text: string; mode?: number }>, extra = ''): Promise<Published> {
      const source = join(directory, 'releases', version)
      for (const [path, { text, mode }] of Object.entries(files)) {
        await mkdir(join(source, 'tree', path, '..'), { recursive: true })
        await writeFile(join(source, 'tree', path), text, { mode: mode ?? 0o644 })
      }
      const yaml = `name: app\nversion: ${version}\ncomponents:\n  - name: app\n    driver: files\n    source: tree\n    target: /opt/app\n${extra}`
      await writeFile(join(source, 'release.yaml'), yaml)
      return publishRelease({ client, file: parseReleaseFile(yaml, join(source, 'release.yaml')), key: host.publisher })
    },
  }
}
