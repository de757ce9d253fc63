import { connect, type MqttClient } from 'mqtt'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { Desired, Directive, Grant } from '../../protocol/directives.ts'
import { deriveReportKey, openEnvelope, payloadTypes, reportKeyId, sealReport } from '../../protocol/envelope.ts'
import type { BootId, FleetId, SiteId } from '../../protocol/ids.ts'
import type { AttemptReport, Report } from '../../protocol/reports.ts'
import { siteTopic } from '../../protocol/topics.ts'

/**
 * A process of its own that plays all sites of a fan-out, one MQTT connection each. As `agents` they do the least an
 * agent may: verify each directive, and answer a grant with a sealed report that the attempt has started. As `echoes` they
 * are the floor's other end: verify each message and answer with as many bytes, nothing else.
 */
export type SitesOrder =
  | { do: 'connect'; as: 'agents' | 'echoes'; url: string; fleet: FleetId; sites: readonly { id: SiteId; password: string }[]; fleetKey: { keyid: string; publicKey: string }; ingestSecret: string; answerBytes: number; answerAfter: number }
  | { do: 'end-attempts' }
export type SitesAnswer = { done: SitesOrder['do'] }

/** Topics of the floor, beside those of the fleet. */
export const bareTopics = { down: (site: string) => `bare/${site}/down`, up: (site: string) => `bare/${site}/up`, allUp: 'bare/+/up' }

const connectingMax = 50
const bootId = '1'.padStart(32, '0') as BootId
type Connect = Extract<SitesOrder, { do: 'connect' }>
type Site = { id: SiteId; client: MqttClient; key: Uint8Array; seq: number; desired: Desired | null; attempt: AttemptReport | null; heard: number }

const sites: Site[] = []
let order: Connect
let keys: ReadonlyMap<string, Uint8Array>

async function open(payload: Uint8Array): Promise<Uint8Array> {
  const opened = await openEnvelope(nodeCrypto, JSON.parse(fromUtf8(payload)), payloadTypes.directive, keys)
  if (!opened.ok) throw new Error(`a message that nobody can believe: ${opened.refusal.reason}`)
  return opened.value.payload
}

async function follow(site: Site, payload: Uint8Array): Promise<void> {
  const directive = JSON.parse(fromUtf8(await open(payload))) as Directive
  if (directive.kind === 'desired') site.desired = directive
  if (directive.kind === 'grant') await start(site, directive)
}

function start(site: Site, grant: Grant): Promise<void> {
  site.attempt = { deployment: grant.deployment, attempt: grant.attempt, phase: 'staging', outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: grant.requestId }
  return report(site, site.attempt)
}

async function report(site: Site, attempt: AttemptReport): Promise<void> {
  const running = attempt.outcome === 'succeeded' ? site.desired!.release : null
  const body = { kind: 'progress' as const, attempt, running, previous: null, nodes: [] }
  const message: Report = { v: 1, fleet: order.fleet, site: site.id, incarnation: 1, bootId, seq: ++site.seq, sentAtMs: Date.now(), body }
  const envelope = await sealReport(nodeCrypto, utf8(JSON.stringify(message)), reportKeyId(order.fleet, site.id, 1), site.key)
  site.client.publish(siteTopic(order.fleet, site.id, 'report'), JSON.stringify(envelope), { qos: 1 })
}

async function echo(site: Site, payload: Uint8Array): Promise<void> {
  await open(payload)
  if (++site.heard % order.answerAfter === 0) site.client.publish(bareTopics.up(site.id), Buffer.alloc(order.answerBytes, 120), { qos: 1 })
}

async function connectSite({ id, password }: Connect['sites'][number]): Promise<void> {
  const isAgent = order.as === 'agents'
  const client = connect(order.url, { protocolVersion: 4, clean: true, clientId: isAgent ? id : `bare-${id}`, username: id, password, keepalive: 0, reconnectPeriod: 0 })
  await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject))
  const key = await deriveReportKey(nodeCrypto, Buffer.from(order.ingestSecret, 'base64'), order.fleet, id, 1)
  const site: Site = { id, client, key, seq: 1000, desired: null, attempt: null, heard: 0 }
  const fail = (error: unknown): void => {
    throw error
  }
  client.on('error', fail)
  client.on('message', (_topic, payload) => void (isAgent ? follow(site, payload) : echo(site, payload)).catch(fail))
  const grants = await client.subscribeAsync(isAgent ? [siteTopic(order.fleet, id, 'desired'), siteTopic(order.fleet, id, 'grant')] : [bareTopics.down(id)], { qos: 1 })
  if (grants.some((grant) => grant.qos === 128)) throw new Error(`${id} may not subscribe`)
  sites.push(site)
}

async function carryOut(received: SitesOrder): Promise<void> {
  if (received.do === 'connect') {
    order = received
    keys = new Map([[order.fleetKey.keyid, new Uint8Array(Buffer.from(order.fleetKey.publicKey, 'base64'))]])
    const queue = order.sites.values()
    await Promise.all(Array.from({ length: connectingMax }, async () => {
      for (const each of queue) await connectSite(each)
    }))
  } else {
    for (const site of sites) if (site.attempt !== null) await report(site, { ...site.attempt, phase: 'ended', outcome: 'succeeded' })
  }
  process.send!({ done: received.do } satisfies SitesAnswer)
}

process.on('message', (received: SitesOrder) => void carryOut(received))
process.on('disconnect', () => process.exit())
