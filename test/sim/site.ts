import { createAgent, type Agent } from '../../edge-agent/agent.ts'
import { parseConfig, type AgentConfig } from '../../edge-agent/config.ts'
import type { Host, MqttConnection } from '../../edge-agent/host/host.ts'
import { SiteIdentity } from '../../edge-agent/identity.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { SimulatedFiles } from '../support/simulated-files.ts'
import type { SimBroker, Client } from './broker.ts'
import type { Chaos } from './chaos.ts'
import { baseUrl, type SimController } from './controller.ts'
import { simHttp } from './http.ts'
import { Power, powered, poweredStream } from './power.ts'
import type { Random } from './random.ts'
import { Senses } from './senses.ts'
import { never, type World } from './world.ts'

export type NodePlan = { name: string; personality: 'controller' | 'worker' | 'storage'; root: string; hasAgent: boolean }
export type SitePlan = { id: string; labels: Record<string, string>; nodes: NodePlan[]; nodesAtOnceMax: number; /** What the host says of its clock. */ tellsSynchronised: boolean }
/** One line of an agent's log, as checkers see it. */
export type AgentEvent = { site: SimSite; event: string; facts: Record<string, unknown> }
export type SiteParts = {
  world: World; random: Random; chaos: Chaos; broker: SimBroker; controller: SimController; crypto: Crypto
  onEvent(event: AgentEvent): void
  healthOf(site: SimSite, version: string): boolean
  /** A planted bug: changes what the agent gets. */
  wrapHost?: (host: Host, site: SimSite) => Host
}

const stateDirectory = '/var/lib/murmur'
const gibibyte = 1024 ** 3

/** One machine of one site, with the real agent on it: a disk that outlives crashes, a clock that may be wrong, a line that may be cut. */
export class SimSite {
  readonly plan: SitePlan
  /** `site-1`, or `site-1 (copy)`. */
  readonly name: string
  readonly parts: SiteParts
  readonly files: SimulatedFiles
  /** Wall clock minus true time; grows by `driftRatio`. */
  clockOffsetMs = 0
  driftRatio = 0
  driftSinceMs: number
  partitioned = false
  /** What its sensors find. */
  readonly senses = new Senses()
  retired = false
  lives = 0
  agent: Agent | null = null
  power: Power | null = null
  config: AgentConfig | null = null
  private readonly random: Random
  private readonly asked = new Map<string, number>()

  constructor(plan: SitePlan, parts: SiteParts, name = plan.id, files?: SimulatedFiles) {
    this.plan = plan
    this.parts = parts
    this.name = name
    this.random = parts.random.fork(name)
    this.driftSinceMs = parts.world.nowMs
    this.files = files ?? new SimulatedFiles({ capacityBytes: gibibyte, nowMs: () => parts.world.nowMs })
  }

  wallMs(): number {
    const { world } = this.parts
    return world.nowMs + this.clockOffsetMs + this.driftRatio * (world.nowMs - this.driftSinceMs)
  }

  /** When the health of a version was asked for here for the first time: from then on it ages. */
  firstAskedMs(version: string): number {
    const known = this.asked.get(version) ?? this.parts.world.nowMs
    this.asked.set(version, known)
    return known
  }

  setClock(offsetMs: number, driftRatio: number): void {
    this.clockOffsetMs = offsetMs
    this.driftRatio = driftRatio
    this.driftSinceMs = this.parts.world.nowMs
  }

  get running(): boolean {
    return this.power?.on === true
  }

  /** Binds this machine to its site with a claim, over a line without faults. */
  async enrol(claim: string, rootFingerprint: string, replace: boolean): Promise<void> {
    const power = new Power(() => undefined)
    for (const node of this.plan.nodes) await this.files.makeDirectory(node.root)
    const host = this.host(power)
    const enrolled = await enrol(host, this.parts.crypto, { controllerUrl: baseUrl, site: this.plan.id, claim, rootFingerprint, stateDirectory, nodes: this.plan.nodes, replace })
    this.config = parseConfig({ ...enrolled, nodesAtOnceMax: this.plan.nodesAtOnceMax, jitterMs: 5000, reconnectMsMax: 60_000 })
    this.files.settleAll()
  }

  /** A new life of the agent. It may end before its start is over. */
  boot(): void {
    if (this.running || this.retired) return
    const { world } = this.parts
    this.lives++
    const power = new Power(() => world.after(0, 'dark', () => this.goDark()))
    this.power = power
    this.files.beforeCall = () => power.spend()
    world.note(`${this.name} boots (life ${this.lives})`)
    const log = (_level: string, event: string, facts: Record<string, unknown> = {}): void => {
      if (!power.on) return
      world.note(`${this.name} ${event} ${shorten(facts)}`)
      this.parts.onEvent({ site: this, event, facts })
    }
    const host = this.parts.wrapHost === undefined ? this.host(power) : this.parts.wrapHost(this.host(power), this)
    const agent = createAgent({ config: this.config!, host, crypto: this.parts.crypto, log })
    this.agent = agent
    agent.start().catch((error: unknown) => {
      if (!power.on) return
      log('error', 'start-failed', { error: error instanceof Error ? error.message : String(error) })
      // as its supervisor would: again, and again
      power.off()
    })
  }

  /** The power goes at the n-th call from now to the disk or the network. */
  cutPowerAfter(calls: number): void {
    if (this.power !== null) this.power.cutAt = this.power.calls + calls
  }

  /** An agent that stops in good order; its site stays dark until it is booted. */
  async stop(): Promise<void> {
    await this.agent?.stop()
    this.power?.off()
  }

  private goDark(): void {
    const { world, broker } = this.parts
    this.files.beforeCall = null
    this.files.crash(() => this.random.fraction())
    this.agent = null
    broker.cut((client) => client.name === this.name)
    world.note(`${this.name} dark`)
    this.parts.onEvent({ site: this, event: 'dark', facts: {} })
    world.after(1000 + this.random.fraction() * this.random.pick([10_000, 300_000, 3_600_000]), 'boot', () => this.boot())
  }

  /** Looks at the disk as an outsider: costs no power, and nothing of it happens in virtual time. */
  async look<T>(work: (files: SimulatedFiles) => Promise<T>): Promise<T> {
    const hook = this.files.beforeCall
    this.files.beforeCall = null
    try {
      return await work(this.files)
    } finally {
      this.files.beforeCall = hook
    }
  }

  /** Of its enrolment, as its disk has it; null before there is one. */
  readIncarnation(): Promise<number | null> {
    const { identity } = statePaths(stateDirectory)
    return this.look(async (files) => ((await files.facts(identity)) === null ? null : SiteIdentity.parse(JSON.parse(fromUtf8(await files.read(identity)))).enrolment.incarnation))
  }

  /** The text of each file below a directory, by path; null where nothing is. */
  async read(path: string): Promise<Record<string, string> | null> {
    return this.look(async (files) => {
      const found: Record<string, string> = {}
      const walk = async (at: string, below: string): Promise<void> => {
        for (const name of await files.list(at)) {
          const facts = await files.facts(`${at}/${name}`)
          if (facts?.kind === 'directory') await walk(`${at}/${name}`, `${below}${name}/`)
          else found[`${below}${name}`] = fromUtf8(await files.read(`${at}/${name}`))
        }
      }
      if ((await files.facts(path)) === null) return null
      await walk(path, '')
      return found
    })
  }

  private host(power: Power): Host {
    const { world, broker } = this.parts
    const client: Client = { name: this.name, alive: () => power.on, reachable: () => power.on && !this.partitioned }
    const delayMs = (): number => this.random.fraction() * this.parts.chaos.latencyMsMax
    const bootMs = world.nowMs
    const network: Host['network'] = {
      http: async (request) => {
        const { world, chaos, controller } = this.parts
        const answer = await simHttp({ world, random: this.random, chaos, controller, client, delayMs, healthOf: (version) => this.parts.healthOf(this, version) }, request)
        return { ...answer, body: poweredStream(answer.body, power) }
      },
      mqtt: async (options) => poweredConnection(await broker.connect(client, options, delayMs), power),
      tcpConnects: async () => true,
    }
    return {
      files: powered(this.files, power, false),
      clock: {
        nowMs: () => Math.max(0, this.wallMs()),
        monotonicMs: () => world.nowMs - bootMs,
        sleep: async (spanMs, signal) => {
          if (!power.on) return never()
          await world.sleep(spanMs, signal)
          if (!power.on) await never()
        },
      },
      random: { bytes: (length) => this.random.bytes(length), fraction: () => this.random.fraction() },
      processes: { run: async () => ({ how: 'not-started', exitCode: null, output: '', outputBytes: 0 }) },
      network: powered(network, power, true),
      facts: {
        architecture: () => 'x86_64',
        inventory: async () => ({ kernel: '6.12.0' }),
        clockSynchronised: async () => (this.plan.tellsSynchronised ? Math.abs(this.wallMs() - world.nowMs) < 1000 : null),
      },
      sensors: this.senses.sensors(),
    }
  }
}

/** What comes in over a connection reaches only a life that still has power. */
function poweredConnection(connection: MqttConnection, power: Power): MqttConnection {
  const proxied = powered(connection, power, true)
  return {
    publish: proxied.publish, subscribe: proxied.subscribe, close: proxied.close,
    onMessage: (handler) => connection.onMessage((message) => void (power.on && handler(message))),
    onClose: (handler) => connection.onClose(() => void (power.on && handler())),
  }
}

const shorten = (facts: Record<string, unknown>): string => JSON.stringify(facts).slice(0, 400)
