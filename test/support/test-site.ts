import { createAgent, type Agent } from '../../edge-agent/agent.ts'
import { parseConfig } from '../../edge-agent/config.ts'
import type { Host, Installation } from '../../edge-agent/host/host.ts'
import { createInstallation } from '../../edge-agent/host/installation.ts'
import type { Sensors } from '../../edge-agent/host/sensors.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { toBase64, utf8 } from '../../protocol/bytes.ts'
import type { DeploymentId, ReleaseRef } from '../../protocol/ids.ts'
import type { FakeLauncher } from './fake-launcher.ts'
import { FakeController, fleet, site, twoNodes } from './fake-controller.ts'
import { quietSensors } from './quiet-sensors.ts'
import { seededFractions } from './seeded-fractions.ts'
import { PowerCut, SimulatedFiles } from './simulated-files.ts'
import { syncCrypto } from './sync-crypto.ts'
import { VirtualClock } from './virtual-clock.ts'

export const stateDirectory = '/var/lib/murmur'
export const startMs = Date.UTC(2026, 0, 1)
export const deployment = (name: string): DeploymentId => `ro_${name.padEnd(26, '0')}:${site}` as DeploymentId

const never = (): Promise<never> => new Promise(() => undefined)

/** Power for one life of an agent. Once it is off, nothing that agent asks of its host is ever answered. */
class Power {
  on = true
  calls = 0
  /** The call at which it goes off. */
  cutAt = Number.POSITIVE_INFINITY

  spend(): void {
    if (this.calls++ >= this.cutAt) this.on = false
    if (!this.on) throw new PowerCut()
  }
}

/** The same port, each call of which needs power. What `spends` is false for counts its steps itself. */
function powered<T extends object>(port: T, power: Power, spends: boolean): T {
  return new Proxy(port, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (name === 'stream') return poweredStream((value as (...args: unknown[]) => AsyncIterable<Uint8Array>).apply(target, args), power)
        const call = async (): Promise<unknown> => {
          if (!power.on) return never()
          try {
            if (spends) power.spend()
            const result = await (value as (...args: unknown[]) => unknown).apply(target, args)
            return power.on ? result : await never()
          } catch (error) {
            if (error instanceof PowerCut || !power.on) return never()
            throw error
          }
        }
        return call()
      }
    },
  })
}

async function* poweredStream(stream: AsyncIterable<Uint8Array>, power: Power): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of stream) yield power.on ? piece : await never()
  } catch (error) {
    if (error instanceof PowerCut || !power.on) await never()
    throw error
  }
}

/** One site of two nodes on a simulated disk, with a controller that does what the test says. */
export class TestSite {
  readonly clock: VirtualClock
  readonly controller: FakeController
  readonly files: SimulatedFiles
  readonly fraction: () => number
  readonly logged: { event: string; facts: Record<string, unknown> }[] = []
  power = new Power()
  agent: Agent | null = null
  synchronised: boolean | null = null
  sensors: Sensors = quietSensors
  /** Starts the agent where a test gives one; an agent that asks to be started anew is left without power, as after a cut. */
  launcher: FakeLauncher | null = null
  /** Told of each call to the disk, with its number in this life. */
  onDiskCall: ((path: string, call: number) => void) | null = null

  static async create(seed = 1): Promise<TestSite> {
    const clock = new VirtualClock(startMs)
    const made = new TestSite(seed, clock, await FakeController.create(() => clock.nowMs()))
    await made.enrol()
    return made
  }

  private constructor(seed: number, clock: VirtualClock, controller: FakeController) {
    this.clock = clock
    this.controller = controller
    this.fraction = seededFractions(seed)
    this.files = new SimulatedFiles({ nowMs: () => clock.nowMs() })
  }

  get config() {
    return parseConfig({ site, fleet, controllerUrl: this.controller.url, rootFingerprint: this.controller.root.keyid, stateDirectory, nodes: twoNodes, jitterMs: 100, reconnectMsMax: 1000 })
  }

  private async enrol(): Promise<void> {
    const key = syncCrypto.generateKeyPair()
    this.controller.agentPublicKey = key.publicKey
    for (const node of twoNodes) await this.files.makeDirectory(node.root)
    await this.files.makeDirectory(stateDirectory)
    await this.files.writeDurable(statePaths(stateDirectory).identity, utf8(JSON.stringify({ v: 1, privateKey: toBase64(key.privateKey), enrolment: await this.controller.enrolment() })))
    for (const path of ['/', '/var', '/var/lib', '/nodes']) await this.files.sync(path)
  }

  private async installation(power: Power): Promise<Installation | undefined> {
    if (this.launcher === null) return undefined
    const restart = (): Promise<never> => {
      power.on = false
      return never()
    }
    return createInstallation({ directory: this.launcher.directory, running: await this.launcher.start(), trialS: 60, restart })
  }

  private host(power: Power): Host {
    const random = { bytes: (length: number) => Uint8Array.from({ length }, () => Math.floor(this.fraction() * 256)), fraction: this.fraction }
    const facts = { architecture: () => 'x86_64', inventory: async () => ({ kernel: '6.1' }), clockSynchronised: async () => this.synchronised }
    const processes = { run: async () => ({ how: 'not-started' as const, exitCode: null, output: '', outputBytes: 0 }) }
    const { clock } = this
    const mine = { nowMs: () => clock.nowMs(), monotonicMs: () => clock.monotonicMs(), sleep: (spanMs: number, signal?: AbortSignal) => (power.on ? clock.sleep(spanMs, signal) : never()) }
    return { files: powered(this.files, power, false), clock: mine, random, processes, network: powered(this.controller, power, true), facts, sensors: this.sensors }
  }

  /** A new life of the agent; the power goes off at the `cutAt`th call to its host. Settles also when it goes off before the start is over. */
  async start(cutAt = Number.POSITIVE_INFINITY): Promise<void> {
    const power = new Power()
    power.cutAt = cutAt
    this.power = power
    const installation = await this.installation(power)
    this.files.beforeCall = (_, path) => {
      this.onDiskCall?.(path, power.calls)
      power.spend()
    }
    this.agent = createAgent({ config: this.config, host: { ...this.host(power), ...(installation === undefined ? {} : { installation }) }, crypto: syncCrypto, log: (_, event, facts = {}) => this.logged.push({ event, facts }) })
    let over = false
    const starting = this.agent.start().finally(() => {
      over = true
    })
    starting.catch(() => undefined)
    await this.clock.until(() => over || !power.on, 'the agent has started or its power is off')
    if (power.on) await starting
  }

  /** The power goes, the disk keeps what it kept, and the lines are dead. */
  crash(): void {
    this.power.on = false
    this.files.beforeCall = null
    this.clock.forgetTimers()
    this.controller.dropConnections()
    this.files.crash(this.fraction)
  }

  desired(name: string, release: ReleaseRef, more: { staging?: 'ahead' | 'with-start'; back?: boolean } = {}) {
    return this.controller.send({ kind: 'desired', release, deployment: deployment(name), staging: more.staging ?? 'with-start', back: more.back ?? false }, true)
  }

  /** The text of a file on a node, or null. */
  async read(node: number, path: string): Promise<string | null> {
    try {
      return new TextDecoder().decode(await this.files.read(`${twoNodes[node]!.root}${path}`))
    } catch {
      return null
    }
  }
}
