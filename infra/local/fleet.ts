import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../../cli/client.ts'
import { CliError } from '../../cli/cli-error.ts'
import { createAgent, type Agent } from '../../edge-agent/agent.ts'
import { parseConfig, type AgentConfig } from '../../edge-agent/config.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { readIdentity } from '../../edge-agent/identity.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import type { Log } from '../../edge-agent/log.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { siteContracts, type SiteView } from '../../protocol/http/sites.ts'
import { SiteId } from '../../protocol/ids.ts'
import { openLogFile } from './log-file.ts'
import type { PracticeSite } from './plan-fleet.ts'
import { practiceFleetName, type PracticeController } from './controller.ts'

export type PracticeFleet = {
  /** Agents at work, by site. */
  agents: ReadonlyMap<string, Agent>
  /** Stops the agents of these sites, and starts those that were stopped and are not among them any more. */
  keepOffline(sites: ReadonlySet<string>): Promise<void>
  stop(): Promise<void>
}

const atOnceMax = 16
/** A machine with hundreds of agents should not be asked to start them in the same instant. */
const spreadMs = 15

/**
 * One real agent for each site, all in this process: enrolled with a claim over HTTP like any other, with directories
 * for nodes. Those that are enrolled already go on as who they are.
 */
export async function startFleet(controller: PracticeController, sites: readonly PracticeSite[], options: { logPath: string; onReady(done: number, total: number): void }): Promise<PracticeFleet> {
  const logFile = openLogFile(options.logPath)
  const configs = new Map<string, AgentConfig>()
  const agents = new Map<string, Agent>()
  const startAgent = async (id: string): Promise<void> => {
    const log: Log = (level, event, facts = {}) => logFile.print(JSON.stringify({ at: new Date().toISOString(), level, site: id, event, ...facts }))
    const agent = createAgent({ config: configs.get(id)!, host: nodeHost, crypto: nodeCrypto, log })
    await agent.start()
    agents.set(id, agent)
  }
  const stopAgent = async (id: string): Promise<void> => {
    const agent = agents.get(id)
    agents.delete(id)
    await agent?.stop()
  }
  const stop = async (): Promise<void> => {
    await Promise.all([...agents.keys()].map(stopAgent))
    await logFile.close()
  }
  try {
    await each(sites, async (site) => {
      configs.set(site.id, await prepareSite(controller, site))
      await startAgent(site.id)
      options.onReady(agents.size, sites.length)
      await sleep(spreadMs)
    })
  } catch (error) {
    await stop()
    throw error
  }
  return {
    agents, stop,
    async keepOffline(wanted) {
      await each([...configs.keys()].filter((id) => wanted.has(id) === agents.has(id)), (id) => (wanted.has(id) ? stopAgent(id) : startAgent(id)))
    },
  }
}

/** The site at the controller, its directories, and its agent's identity: whatever of it is missing. */
async function prepareSite(controller: PracticeController, site: PracticeSite): Promise<AgentConfig> {
  for (const node of site.nodes) await mkdir(node.root, { recursive: true })
  const { client, url, keys } = controller
  const known = await readSite(client, site.id)
  const paths = statePaths(site.stateDirectory)
  const identity = await readIdentity(nodeHost.files, paths)
  if (known?.state !== 'enrolled' || known.incarnation !== identity?.enrolment.incarnation) {
    const claim = known === null ? await addSite(client, site) : (await client.call(siteContracts.claimSite, { params: { site: known.id } })).claim
    await enrol(nodeHost, nodeCrypto, { controllerUrl: url, site: site.id, claim, rootFingerprint: keys.rootFingerprint, stateDirectory: site.stateDirectory, nodes: site.nodes, replace: true })
  }
  return parseConfig({
    site: site.id, fleet: practiceFleetName, controllerUrl: url, rootFingerprint: keys.rootFingerprint, stateDirectory: site.stateDirectory, nodes: site.nodes,
    keepAliveS: 30, jitterMs: 500, reconnectMsMax: 5000,
  })
}

async function readSite(client: Client, id: string): Promise<SiteView | null> {
  try {
    return await client.call(siteContracts.getSite, { params: { site: SiteId.parse(id) } })
  } catch (error) {
    if (error instanceof CliError && error.exit === 'not-found') return null
    throw error
  }
}

async function addSite(client: Client, { id, labels, timeZone }: PracticeSite): Promise<string> {
  const { claim } = await client.call(siteContracts.createSite, { body: { id, labels, timeZone } })
  return claim.claim
}

/** Does `work` for every item, a bounded number at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, worker))
}
