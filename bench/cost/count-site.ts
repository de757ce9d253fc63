import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '../../cli/client.ts'
import { publishRelease, type Published } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { createAgent } from '../../edge-agent/agent.ts'
import type { Host } from '../../edge-agent/host/host.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import { jsonLog } from '../../functions/adapters/node/json-log.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { readNodeSettings } from '../../functions/platform/env.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { startNode } from '../../functions/platform/start-node.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { FleetId, SiteId } from '../../protocol/ids.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { payloadOf } from '../../test/support/payload-of.ts'
import { sleep, until } from '../../test/support/program.ts'
import { makeKey, signTrust, type TestKey } from '../../test/support/controller.ts'

/** What one site caused over the network. `messagesRetained` are those of the messages down that the broker keeps, or has kept. `phases` are those of the progress reports, in their order. */
export type SiteTraffic = { connects: number; messagesUp: number; messagesDown: number; messagesRetained: number; bytesUp: number; bytesDown: number; controllerRequests: number; objectReads: number; phases: string[] }
/** What publishing one release asked of the store: uploads (class A), and the controller's looks (class B). */
export type PublishTraffic = { uploads: number; looks: number; storedObjects: number }
export type SiteCounts = { start: SiteTraffic; reconnect: SiteTraffic; deployment: SiteTraffic; publish: PublishTraffic }

const [fleet, site] = [FleetId.parse('practice'), SiteId.parse('counted')]
const idle = (): SiteTraffic => ({ connects: 0, messagesUp: 0, messagesDown: 0, messagesRetained: 0, bytesUp: 0, bytesDown: 0, controllerRequests: 0, objectReads: 0, phases: [] })

/** The machine, with a counter between it and the network. `cut` ends the connection to the broker. */
function countedHost(count: () => SiteTraffic): { host: Host; cut(): Promise<void> } {
  let cut = async (): Promise<void> => undefined
  const phaseOf = (message: Uint8Array): string | null => {
    const { body } = payloadOf<{ body: { kind: string; attempt?: { phase: string } } }>(message)
    return body.kind === 'progress' ? body.attempt!.phase : null
  }
  const network: Host['network'] = {
    ...nodeHost.network,
    async http(request) {
      const isObject = new URL(request.url).pathname.startsWith('/objects/')
      count()[isObject ? 'objectReads' : 'controllerRequests']++
      return nodeHost.network.http(request)
    },
    async mqtt(options) {
      const connection = await nodeHost.network.mqtt(options)
      count().connects++
      cut = connection.close
      return {
        ...connection,
        async publish(topic, payload) {
          const into = count()
          into.messagesUp++
          into.bytesUp += payload.length
          const phase = phaseOf(payload)
          if (phase !== null) into.phases.push(phase)
          await connection.publish(topic, payload)
        },
        onMessage: (handler) =>
          connection.onMessage((message) => {
            const into = count()
            into.messagesDown++
            if (message.topic === siteTopic(fleet, site, 'desired')) into.messagesRetained++
            into.bytesDown += message.payload.length
            handler(message)
          }),
      }
    },
  }
  return { host: { ...nodeHost, network }, cut: () => cut() }
}

/** One real agent at one real controller on Node: its start, a deployment of a release of which it has nothing yet, and a reconnect. */
export async function countSite(databaseUrl: string, objects: number): Promise<SiteCounts> {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-cost-'))
  const settings = readNodeSettings({ MURMUR_FLEET: fleet, MURMUR_DATA: join(directory, 'data'), PORT: '0', MURMUR_BROKER_PORT: '0', MURMUR_DATABASE_URL: databaseUrl })
  const controller = await startNode(settings, jsonLog('error'))
  const publish: PublishTraffic = { uploads: 0, looks: 0, storedObjects: 0 }
  const { store } = controller.deps
  const look = <A extends unknown[], R>(verb: (...args: A) => R) => (...args: A): R => (publish.looks++, verb(...args))
  controller.deps.store = { ...store, head: look(store.head), get: look(store.get) }
  let traffic = idle()
  const { host, cut } = countedHost(() => traffic)
  const taken = (): SiteTraffic => {
    const seen = traffic
    traffic = idle()
    return seen
  }
  const client = createClient({ url: controller.localUrl, token: controller.adminToken!, sleep })
  try {
    const publisher = await installTrust(client, settings.MURMUR_DATA)
    const { claim } = await client.call(contracts.createSite, { body: { id: site } })
    const rootFingerprint = (await client.call(contracts.whoAmI, {})).rootFingerprint!
    const root = join(directory, 'node')
    await mkdir(root)
    const config = await enrol(nodeHost, nodeCrypto, { controllerUrl: controller.localUrl, site, claim: claim.claim, rootFingerprint, stateDirectory: join(directory, 'agent'), replace: false, nodes: [{ name: 'node-0', root, personality: 'controller', hasAgent: true }] })
    const agent = createAgent({ config: { ...config, jitterMs: 0, reconnectMsMax: 100 }, host, crypto: nodeCrypto })
    await agent.start()
    try {
      const online = () => until('the site is online', async () => (await client.call(contracts.getSite, { params: { site } })).presence === 'online', [])
      await online()
      await sleep(500)
      const start = taken()
      const published = await publishRandom(client, publisher, directory, objects)
      const { id } = await client.call(contracts.createRollout, { body: { name: 'counted', target: { release: published.release.id }, selector: { all: true } } })
      await until('the rollout is over', async () => (await client.call(contracts.getRollout, { params: { rollout: id } })).state === 'completed', [])
      await sleep(500)
      const deployment = taken()
      // as most reconnects are: of a site of which something is desired, which the broker retains
      await cut()
      await until('it has connected again', async () => traffic.connects === 1 && traffic.messagesUp > 0, [])
      await online()
      await sleep(500)
      return { start, reconnect: taken(), deployment, publish: { ...publish, uploads: published.release.objects, storedObjects: published.release.objects } }
    } finally {
      await agent.stop()
    }
  } finally {
    await controller.stop()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function installTrust(client: Client, dataDirectory: string): Promise<TestKey> {
  const { fleet } = await openNodeKeys(nodeCrypto, dataDirectory)
  const [root, publisher] = [await makeKey('root'), await makeKey('publisher')]
  const body = await signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [{ keyid: fleet.keyid, publicKey: toBase64(fleet.publicKey), name: 'fleet' }] })
  await client.call(contracts.putTrust, { body })
  return publisher
}

/** So many files that share nothing and cannot be made smaller, each long enough to be an object of its own. */
async function publishRandom(client: Client, key: TestKey, directory: string, files: number): Promise<Published> {
  const source = join(directory, 'release')
  await mkdir(join(source, 'tree'), { recursive: true })
  for (let i = 0; i < files; i++) await writeFile(join(source, 'tree', `part-${String(i).padStart(4, '0')}`), randomBytes(100_000))
  const yaml = 'name: app\nversion: 1.0.0\ncomponents:\n  - {name: app, driver: files, source: tree, target: /opt/app}\n'
  return publishRelease({ client, key, file: parseReleaseFile(yaml, join(source, 'release.yaml')) })
}
