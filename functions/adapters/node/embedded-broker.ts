import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Aedes, type AuthenticateError, type Client, type PublishPacket } from 'aedes'
import { equalBytes } from '../../../protocol/bytes.ts'
import type { Crypto } from '../../../protocol/crypto.ts'
import { SiteId, type FleetId } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { probeTopic, rollCallTopic, sitePublications, siteSubscriptions } from '../../../protocol/topics.ts'
import { brokerCredentials, brokerPassword } from '../broker-password.ts'
import { createReportBatcher, type ReportBatcher, type ReportSink, type ReportSubscriber } from '../mqtt/batch-reports.ts'
import type { Broker, OutgoingMessage, OutgoingMessages } from '../../ports/broker.ts'
import type { Log } from '../../ports/log.ts'
import { measurePackets } from './measure-packets.ts'

export type EmbeddedBrokerOptions = {
  fleet: FleetId
  ingestSecret: Uint8Array
  crypto: Crypto
  log: Log
  /** Where it listens; port 0 takes a free one. */
  host: string
  port: number
  /** How agents reach it; null: under the address it listens on. */
  sitesUrl: string | null
  /** Which incarnation of a site has access now; null for none. Asked at each connect. */
  incarnationOf(site: SiteId): Promise<number | null>
}

export type EmbeddedBroker = Broker & {
  url: string
  createSubscriber(sink: ReportSink): ReportSubscriber
  close(): Promise<void>
}

const inFlightMax = 50
const drainMs = 10_000
const connectMs = 10_000
/** A message as long as may be, with its topic and header. */
const packetBytesMax = limits.mqttMessageBytesMax + 1024

/**
 * An MQTT 3.1.1 broker inside this process, for one machine and for practice: it forgets everything when it ends,
 * which nothing depends on (SPEC D2). A site gets in with its own name as user and client, and reaches its own topics
 * only. A report is acknowledged once the subscriber's sink has taken it.
 */
export async function createEmbeddedBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const { fleet, crypto, ingestSecret, log } = options
  const gate = createGate(options)
  const aedes = await Aedes.createBroker({
    connectTimeout: connectMs,
    drainTimeout: drainMs,
    authenticate: (client, username, password, done) =>
      void gate.authenticate(client, username, password).then(
        (admitted) => done(admitted ? null : refusal(), admitted),
        (error: unknown) => {
          log.write('error', 'broker.authentication-failed', { site: username, detail: String(error) })
          done(refusal(), false)
        },
      ),
    authorizePublish: (client, packet, done) => void (client === null ? Promise.resolve() : gate.takeReport(client, packet)).then(() => done(null), done),
    authorizeSubscribe: (client, subscription, done) => done(null, siteSubscriptions(fleet, client.id as SiteId).includes(subscription.topic) ? subscription : null),
  })
  aedes.on('clientError', (client, error) => log.write('debug', 'broker.client-error', { site: client.id, detail: error.message }))
  aedes.on('connectionError', (_client, error) => log.write('debug', 'broker.connection-error', { detail: error.message }))
  aedes.on('clientDisconnect', gate.left)
  const listener = await listen(aedes, options.host, options.port)
  const url = options.sitesUrl ?? `mqtt://${options.host.includes(':') ? `[${options.host}]` : options.host}:${listener.port}`

  return {
    url,
    publish: (messages) => publishAll(aedes, messages, (message) => message.topic === probeTopic(fleet) && gate.takeProbe(message)),
    async admit(site, incarnation) {
      gate.drop(site, incarnation)
      return brokerCredentials(crypto, ingestSecret, fleet, SiteId.parse(site), incarnation, url)
    },
    async expel(site) {
      gate.drop(site, Number.POSITIVE_INFINITY)
    },
    createSubscriber: (sink) => ({
      async start() {
        const batcher = createReportBatcher({ sink, log })
        gate.hand(batcher)
        if (!(await batcher.gap('started'))) return
        await begin(aedes, { topic: rollCallTopic(fleet), payload: new Uint8Array(0), retain: false })
      },
      stop: async () => gate.hand(null)?.stop(),
    }),
    async close() {
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
      await listener.close()
    },
  }
}

/** Who may come in, and what they may say. */
function createGate({ fleet, ingestSecret, crypto, log, incarnationOf }: EmbeddedBrokerOptions) {
  const connections = new Map<string, { client: Client; incarnation: number }>()
  let batcher: ReportBatcher | null = null
  return {
    async authenticate(client: Client, username: string | undefined, password: Uint8Array | undefined): Promise<boolean> {
      const site = SiteId.safeParse(username)
      if (!site.success || client.id !== site.data || !client.clean || password === undefined) return false
      const incarnation = await incarnationOf(site.data)
      if (incarnation === null) {
        log.write('info', 'broker.unknown-site', { site: site.data, detail: 'no such site is enrolled here; one that was enrolled after the backup this controller came back from needs a new claim' })
        return false
      }
      const expected = await brokerPassword(crypto, ingestSecret, fleet, site.data, incarnation)
      if (!equalBytes(Buffer.from(expected), password)) return false
      connections.set(site.data, { client, incarnation })
      return true
    },
    /** Resolves once the report is taken, and rejects what this site may not publish: the library then ends its connection. */
    async takeReport(client: Client, packet: PublishPacket): Promise<void> {
      const site = client.id as SiteId
      if (!sitePublications(fleet, site).includes(packet.topic)) throw new Error(`${site} may not publish to ${packet.topic}`)
      if (packet.retain || packet.qos === 2) throw new Error(`${site} may publish with QoS 0 or 1, not retained`)
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
      if (payload.length > limits.mqttMessageBytesMax) throw new Error(`${site} sent ${payload.length} bytes`)
      await batcher?.add({ topic: packet.topic, payload: new Uint8Array(payload) })
    },
    /** The controller's own message to itself: it comes back among the reports, when there is somebody to take them. */
    takeProbe({ topic, payload }: OutgoingMessage): true {
      batcher?.add({ topic, payload }).catch(() => undefined)
      return true
    },
    /** Reports go to this batcher from now on; returns the one before. */
    hand(next: ReportBatcher | null): ReportBatcher | null {
      const last = batcher
      batcher = next
      return last
    },
    /** Ends the connection of an incarnation that lost its access. */
    drop(site: string, olderThan: number): void {
      const connection = connections.get(site)
      if (connection !== undefined && connection.incarnation < olderThan) connection.client.close()
    },
    left(client: Client): void {
      if (connections.get(client.id)?.client === client) connections.delete(client.id)
    },
  }
}

/** Takes TCP connections for the broker, and ends those that send packets longer than may be. */
async function listen(aedes: Aedes, host: string, port: number): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    aedes.handle(socket)
    const isShortEnough = measurePackets(packetBytesMax)
    // the broker reads in paused mode: this only sees what it reads
    socket.on('data', (chunk: Buffer) => {
      if (!isShortEnough(chunk)) socket.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, () => resolve()))
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** In the order given, a bounded number at a time; a site that reads slowly is left behind after `drainMs`. What `isTaken` takes goes no further. */
async function publishAll(aedes: Aedes, messages: OutgoingMessages, isTaken: (message: OutgoingMessage) => boolean): Promise<ReadonlySet<string>> {
  const acknowledged = new Set<string>()
  const inFlight = new Set<Promise<unknown>>()
  for await (const message of messages) {
    if (aedes.closed) break
    if (inFlight.size >= inFlightMax) await Promise.race(inFlight)
    if (isTaken(message)) {
      acknowledged.add(message.key)
      continue
    }
    const { sent } = await begin(aedes, message)
    const noted = sent.then((isSent) => {
      if (isSent) acknowledged.add(message.key)
      inFlight.delete(noted)
    })
    inFlight.add(noted)
  }
  await Promise.all(inFlight)
  return acknowledged
}

/**
 * Hands a message to those who listen; `sent` says when it is with them. Retained ones are stored first and then sent like
 * all others: the library drops what one of its own later messages has overtaken, and storing takes it a turn.
 */
async function begin(aedes: Aedes, { topic, payload, retain }: Pick<OutgoingMessage, 'topic' | 'payload' | 'retain'>): Promise<{ sent: Promise<boolean> }> {
  const { persistence } = aedes as unknown as { persistence: { storeRetained(packet: PublishPacket): Promise<void> } }
  const packet: PublishPacket = { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false }
  if (retain) await persistence.storeRetained({ ...packet, retain })
  return { sent: new Promise((resolve) => aedes.publish(packet, (error) => resolve(error == null))) }
}

/** CONNACK 5: the same for every reason, so that it tells nothing about which sites there are. */
const refusal = (): AuthenticateError => Object.assign(new Error('not authorised'), { returnCode: 5 })
