import type { MqttConnection, MqttMessage, MqttOptions } from '../../edge-agent/host/host.ts'
import type { Broker, OutgoingMessage, OutgoingMessages } from '../../functions/ports/broker.ts'
import type { FleetId } from '../../protocol/ids.ts'
import { rollCallTopic } from '../../protocol/topics.ts'
import type { Chaos } from './chaos.ts'
import type { Random } from './random.ts'
import { never, type World } from './world.ts'

/** One end of a line: a site's life that connects. `alive` is false once its power is off. */
export type Client = { name: string; alive(): boolean; reachable(): boolean }

type Line = {
  client: Client
  options: MqttOptions
  /** Each end learns by itself that the line is cut. */
  cut: boolean
  brokerOpen: boolean
  agentOpen: boolean
  topics: Set<string>
  handlers: ((message: MqttMessage) => void)[]
  closers: (() => void)[]
  pending: Set<(error: Error) => void>
  /** When the last message of a topic arrives, so that a topic keeps its order. */
  arrivals: Map<string, number>
}
export type Upward = { topic: string; payload: Uint8Array }

const hourMs = 3_600_000
const refuseMs = 30_000

/**
 * A broker as the protocol assumes one (D1, D2): at least once or never, late, twice, in order only within a topic and a
 * connection; a restart forgets everything. The controller's side reads from a queue that survives its own restarts.
 */
export class SimBroker implements Broker {
  up = true
  /** What waits for the controller. */
  readonly upward: Upward[] = []
  onUpward: (() => void) | null = null
  /** Told of every report and will that reaches the broker, whatever becomes of it. */
  onSpoken: ((message: Upward) => void) | null = null
  /** Told of every directive that is handed to the broker, delivered or not. */
  onPublished: ((message: OutgoingMessage) => void) | null = null
  private readonly world: World
  private readonly random: Random
  private readonly chaos: Chaos
  private readonly fleet: FleetId
  private readonly admitted = new Map<string, string>()
  private readonly retained = new Map<string, Uint8Array>()
  private lines: Line[] = []

  constructor(world: World, random: Random, chaos: Chaos, fleet: FleetId) {
    this.world = world
    this.random = random
    this.chaos = chaos
    this.fleet = fleet
  }

  // the controller's port

  async publish(messages: OutgoingMessages): Promise<ReadonlySet<string>> {
    const acknowledged = new Set<string>()
    for await (const message of messages) {
      if (!this.up) continue
      if (this.random.chance(this.chaos.publishRefused)) {
        this.world.fault('publish-refused', message.topic)
        continue
      }
      this.onPublished?.(message)
      this.world.note(`down ${message.topic} ${message.key}`)
      if (message.retain) this.retained.set(message.topic, message.payload)
      this.sendDown(message.topic, message.payload)
      if (this.random.chance(this.chaos.publishAckLost)) this.world.fault('publish-ack-lost', message.topic)
      else acknowledged.add(message.key)
    }
    return acknowledged
  }

  async admit(site: string, incarnation: number) {
    if (!this.up) throw new Error('the broker does not answer')
    const password = `${site}/${incarnation}`
    this.admitted.set(site, password)
    return { url: 'mqtt://broker.sim', clientId: site, username: site, password }
  }

  async expel(site: string): Promise<void> {
    this.admitted.delete(site)
  }

  rollCall(): void {
    this.world.note('roll-call')
    this.deliverAll(rollCallTopic(this.fleet), new Uint8Array(0))
  }

  // the agents' side

  async connect(client: Client, options: MqttOptions, delayMs: () => number): Promise<MqttConnection> {
    await this.world.sleep(delayMs())
    if (!this.up || !client.reachable()) {
      await this.world.sleep(refuseMs * this.random.fraction())
      throw new Error('the broker does not answer')
    }
    if (this.admitted.get(options.clientId) !== options.password) throw new Error('the broker refuses these credentials')
    for (const older of this.lines.filter((line) => line.options.clientId === options.clientId)) this.closeAtBroker(older, true)
    const line: Line = { client, options, cut: false, brokerOpen: true, agentOpen: true, topics: new Set(), handlers: [], closers: [], pending: new Set(), arrivals: new Map() }
    this.lines.push(line)
    this.world.note(`connect ${client.name}`)
    await this.world.sleep(delayMs())
    return this.connectionOf(line, delayMs)
  }

  private connectionOf(line: Line, delayMs: () => number): MqttConnection {
    const { world } = this
    const whileOpen = <T>(work: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        if (!line.agentOpen) return reject(new Error('the connection is closed'))
        line.pending.add(reject)
        work.then(resolve, reject).finally(() => line.pending.delete(reject))
      })
    const arrive = async (): Promise<void> => {
      await world.sleep(delayMs())
      if (line.cut || !line.brokerOpen) await never()
    }
    const answered = async (): Promise<void> => {
      await world.sleep(delayMs())
      if (line.cut) await never()
    }
    return {
      publish: (topic, payload) => whileOpen((async () => {
        await arrive()
        this.acceptUpward({ topic, payload })
        await answered()
      })()),
      subscribe: (topics) => whileOpen((async () => {
        await arrive()
        for (const topic of topics) {
          line.topics.add(topic)
          const kept = this.retained.get(topic)
          if (kept !== undefined) this.deliver(line, { topic, payload: kept, retained: true }, this.delay())
        }
        await answered()
      })()),
      onMessage: (handler) => void line.handlers.push(handler),
      onClose: (handler) => (line.agentOpen ? void line.closers.push(handler) : handler()),
      close: async () => {
        if (line.brokerOpen && !line.cut) this.closeAtBroker(line, false)
        this.closeAtAgent(line)
      },
    }
  }

  /** The line breaks: what is under way is gone, and each end notices by itself, at the latest by its keep-alive. `withWill` false: the broker says nothing of it. */
  cut(which: (client: Client) => boolean, withWill = true): number {
    const cut = this.lines.filter((line) => !line.cut && which(line.client))
    for (const line of cut) {
      line.cut = true
      const noticeMs = (): number => this.random.fraction() * 1500 * line.options.keepAliveS
      this.world.after(noticeMs(), 'broker notices', () => this.closeAtBroker(line, withWill))
      this.world.after(noticeMs(), 'agent notices', () => this.closeAtAgent(line))
    }
    return cut.length
  }

  /** Forgets connections, what is retained, and what waits for the controller; comes back after a while. */
  restart(downMs: number): void {
    this.up = false
    this.retained.clear()
    this.upward.length = 0
    for (const line of this.lines) {
      line.brokerOpen = false
      line.cut = true
      this.world.after(this.random.fraction() * 60_000, 'agent notices', () => this.closeAtAgent(line))
    }
    this.lines = []
    this.world.after(downMs, 'broker up', () => {
      this.up = true
      this.world.note('broker up')
    })
  }

  private closeAtBroker(line: Line, withWill: boolean): void {
    if (!line.brokerOpen) return
    line.brokerOpen = false
    this.lines = this.lines.filter((other) => other !== line)
    this.world.after(this.delay(), 'agent sees the end', () => this.closeAtAgent(line))
    if (withWill) this.acceptUpward({ ...line.options.will })
  }

  private closeAtAgent(line: Line): void {
    if (!line.agentOpen) return
    line.agentOpen = false
    for (const reject of line.pending) reject(new Error('the connection is lost'))
    line.pending.clear()
    if (line.client.alive()) for (const closer of line.closers) closer()
  }

  /** To the controller: each topic keeps its order, but for what comes again or late. */
  private acceptUpward(message: Upward): void {
    const { chaos, random, world } = this
    this.onSpoken?.(message)
    if (random.chance(chaos.reportLost)) return world.fault('report-lost', message.topic)
    const arrive = (spanMs: number): void => world.after(spanMs, 'upward', () => {
      if (!this.up) return
      this.upward.push(message)
      this.onUpward?.()
    })
    if (random.chance(chaos.reportTwice)) {
      world.fault('report-twice', message.topic)
      arrive(random.fraction() * (random.chance(0.3) ? 6 * hourMs : 60_000))
    }
    if (!random.chance(chaos.reportLate)) return arrive(0)
    world.fault('report-late', message.topic)
    arrive(random.fraction() * (random.chance(0.2) ? 3 * hourMs : 120_000))
  }

  private sendDown(topic: string, payload: Uint8Array): void {
    const { chaos, random, world } = this
    if (random.chance(chaos.directiveTwice)) {
      world.fault('directive-twice', topic)
      world.after(random.fraction() * (random.chance(0.3) ? 6 * hourMs : 60_000), 'again', () => this.deliverAll(topic, payload))
    }
    if (random.chance(chaos.directiveLost)) return world.fault('directive-lost', topic)
    if (!random.chance(chaos.directiveLate)) return this.deliverAll(topic, payload)
    world.fault('directive-late', topic)
    world.after(random.fraction() * (random.chance(0.2) ? 3 * hourMs : 300_000), 'late', () => this.deliverAll(topic, payload))
  }

  private deliverAll(topic: string, payload: Uint8Array): void {
    for (const line of this.lines) if (line.topics.has(topic)) this.deliver(line, { topic, payload, retained: false }, this.delay())
  }

  private deliver(line: Line, message: MqttMessage, delayMs: number): void {
    const atMs = Math.max(this.world.nowMs + delayMs, line.arrivals.get(message.topic) ?? 0)
    line.arrivals.set(message.topic, atMs)
    this.world.at(atMs, 'deliver', () => {
      if (line.cut || !line.agentOpen || !line.client.alive()) return
      for (const handler of line.handlers) handler(message)
    })
  }

  private delay(): number {
    return this.random.fraction() * this.chaos.latencyMsMax
  }
}
