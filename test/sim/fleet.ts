import { canonicalJson, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { payloadTypes, signEnvelope, type Envelope } from '../../protocol/envelope.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Trust } from '../../protocol/trust.ts'
import type { Host } from '../../edge-agent/host/host.ts'
import { createJobs } from '../../functions/jobs.ts'
import { SimulatedFiles } from '../support/simulated-files.ts'
import { SimBroker } from './broker.ts'
import type { Chaos } from './chaos.ts'
import { fleet, SimController, type ControllerParts } from './controller.ts'
import type { Random } from './random.ts'
import type { SimRelease } from './releases.ts'
import { seededCrypto, seededKey, type SimKey } from './seeded-crypto.ts'
import { SimSite, type AgentEvent, type SitePlan } from './site.ts'
import type { World } from './world.ts'

/** Bugs that a test plants through ports and wrappers; production code knows nothing of them. */
export type Planted = Pick<ControllerParts, 'rewrite' | 'spoilRestore' | 'wrapDeps'> & {
  wrapHost?: (host: Host, site: SimSite) => Host
  prepare?: (fleet: SimFleet) => Promise<void>
}
export type FleetParts = { world: World; random: Random; chaos: Chaos; sites: readonly SitePlan[]; planted?: Planted }

/** A controller, a broker and the sites of one fleet, all enrolled. */
export class SimFleet {
  readonly world: World
  readonly random: Random
  readonly chaos: Chaos
  readonly broker: SimBroker
  readonly controller: SimController
  readonly crypto: Crypto
  readonly releases: SimRelease[] = []
  readonly sites = new Map<string, SimSite>()
  /** Machines that came of another's disk. */
  readonly copies: SimSite[] = []
  readonly listeners: ((event: AgentEvent) => void)[] = []
  trustVersion = 0
  /** The newest trust.json: people keep it, whatever becomes of the database. */
  trustInstalled: Envelope | null = null
  private readonly keys: { root: SimKey; publisher: SimKey; fleet: SimKey }
  private readonly planted: Planted
  private rootFingerprint = ''

  static async create(parts: FleetParts): Promise<SimFleet> {
    const { world, random, chaos, planted = {} } = parts
    const keyRandom = random.fork('keys')
    const keys = { root: await seededKey(keyRandom, 'root'), publisher: await seededKey(keyRandom, 'publisher'), fleet: await seededKey(keyRandom, 'fleet') }
    const crypto = seededCrypto(random.fork('crypto'))
    const broker = new SimBroker(world, random.fork('broker'), chaos, fleet)
    const controller = await SimController.create({ world, random: random.fork('controller'), chaos, broker, crypto, fleetKey: keys.fleet, ...planted })
    const made = new SimFleet(parts, keys, crypto, broker, controller)
    await made.raiseTrust()
    for (const plan of parts.sites) {
      const created = await made.must('POST', '/v1/sites', { id: plan.id, labels: plan.labels })
      const site = made.newSite(plan)
      await made.settle(site.enrol((created.claim as { claim: string }).claim, made.rootFingerprint, false))
    }
    await planted.prepare?.(made)
    return made
  }

  private constructor(parts: FleetParts, keys: SimFleet['keys'], crypto: Crypto, broker: SimBroker, controller: SimController) {
    this.world = parts.world
    this.random = parts.random.fork('fleet')
    this.chaos = parts.chaos
    this.planted = parts.planted ?? {}
    this.keys = keys
    this.crypto = crypto
    this.broker = broker
    this.controller = controller
  }

  private newSite(plan: SitePlan): SimSite {
    const site = new SimSite(plan, this.siteParts())
    this.sites.set(plan.id, site)
    return site
  }

  private siteParts() {
    const { world, random, chaos, broker, controller, crypto, planted } = this
    return {
      world, random, chaos, broker, controller, crypto, wrapHost: planted.wrapHost,
      onEvent: (event: AgentEvent) => {
        for (const listener of this.listeners) listener(event)
      },
      healthOf: (site: SimSite, version: string) => {
        const badness = this.releases.find((release) => release.plan.version === version)?.plan.badness
        if (badness?.kind === 'sour') return world.nowMs < site.firstAskedMs(version) + badness.afterMs
        return badness?.kind !== 'bad-in' || site.plan.labels.region !== badness.region
      },
    }
  }

  /** Runs virtual time until something outside the event loop is done. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let over = false
    const done = work.finally(() => {
      over = true
    })
    done.catch(() => undefined)
    for (let i = 0; i < 100 && !over; i++) await this.world.run(this.world.nowMs + 1000)
    if (!over) throw new Error('it never came to an end')
    return done
  }

  /** An operator's call that has to succeed. */
  async must(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.controller.call(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path} was answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /** The next trust.json, signed by the root, with the same keys. */
  async raiseTrust(): Promise<void> {
    const { root, publisher, fleet: fleetKey } = this.keys
    const trust: Trust = { v: 1, fleet, version: this.trustVersion + 1, issuedAtMs: 0, rootKey: root.trusted, publisherKeys: [publisher.trusted], fleetKeys: [fleetKey.trusted] }
    const envelope = await signEnvelope(this.crypto, payloadTypes.trust, utf8(JSON.stringify(trust)), root)
    const answer = await this.controller.call('PUT', '/v1/trust', envelope)
    if (answer.status >= 300) return this.world.note(`trust not installed: ${answer.status} ${JSON.stringify(answer.body)}`)
    this.trustVersion++
    this.trustInstalled = envelope
    this.rootFingerprint = answer.body.rootFingerprint as string
  }

  /** Puts the newest trust.json to a controller that may have come back with an older one; tried until it is taken. */
  async installTrustAgain(): Promise<void> {
    const answer = await this.controller.call('PUT', '/v1/trust', this.trustInstalled)
    // one that is there already is refused as no newer, which is as good
    if (answer.status >= 500) this.world.after(60_000, 'install trust again', () => this.installTrustAgain())
  }

  /** Announces, uploads and confirms a release, as a publisher would. */
  async publish(release: SimRelease): Promise<void> {
    const manifest = await signEnvelope(this.crypto, payloadTypes.manifest, utf8(canonicalJson(release.manifest)), this.keys.publisher)
    await this.must('POST', '/v1/releases', { manifest, index: release.index })
    for (const [digest, bytes] of release.objects) await this.controller.store.put(storeKeys.object(digest), bytes, digest)
    await this.must('POST', `/v1/releases/${encodeURIComponent(release.ref.id)}/complete`)
    this.releases.push(release)
  }

  /** One step of confirming what was published; says whether all of it is available. */
  async confirmReleases(): Promise<boolean> {
    await this.controller.invoke('confirm', (deps) => createJobs(deps).find((job) => job.name === 'confirm-releases')!.run())
    const { items } = (await this.must('GET', '/v1/releases')) as { items: { state: string }[] }
    return items.length === this.releases.length && items.every((release) => release.state === 'available')
  }

  releaseOf(digest: string | null | undefined): SimRelease | null {
    return this.releases.find((release) => release.ref.digest === digest) ?? null
  }

  /** The site gets a new, empty machine (F31), or the old one a new identity. Null when the controller gave no claim. */
  async enrolAnew(id: string, keepDisk: boolean): Promise<SimSite | null> {
    const old = this.sites.get(id)!
    const answer = await this.controller.call('POST', `/v1/sites/${id}/claim`)
    if (answer.status >= 300) {
      this.world.note(`no claim for ${id}: ${answer.status}`)
      return null
    }
    old.retired = true
    old.power?.off()
    const site = new SimSite(old.plan, this.siteParts(), `${id} (${old.lives + 1})`, keepDisk ? old.files : undefined)
    // the line to enrol over is as bad as any other: tried until it works
    let { claim } = answer.body as { claim: string }
    let madeAfter = this.controller.restores
    const tryIt = async (): Promise<void> => {
      try {
        if (madeAfter !== this.controller.restores) {
          // claims do not outlive the database that gave them out
          const anew = await this.controller.call('POST', `/v1/sites/${id}/claim`)
          if (anew.status >= 300) throw new Error(`no other claim: ${anew.status}`)
          claim = anew.body.claim as string
          madeAfter = this.controller.restores
        }
        await site.enrol(claim, this.rootFingerprint, keepDisk)
        this.sites.set(id, site)
        site.lives = old.lives + 1
        site.boot()
      } catch (error) {
        this.world.note(`${site.name} not enrolled: ${error instanceof Error ? error.message : String(error)}`)
        this.world.after(60_000, 'enrol again', () => void tryIt())
      }
    }
    // after the old machine has gone dark: they share a disk
    this.world.after(1, 'enrol', () => void tryIt())
    return site
  }

  /** A second machine with a copy of a site's disk, not started yet. */
  async clone(id: string): Promise<SimSite> {
    const original = this.sites.get(id)!
    const files = new SimulatedFiles({ nowMs: () => this.world.nowMs })
    await original.look(async (source) => copyTree(source, files, '/'))
    files.settleAll()
    const copy = new SimSite(original.plan, this.siteParts(), `${id} (copy ${this.copies.length + 1})`, files)
    copy.config = original.config
    this.copies.push(copy)
    return copy
  }

  close(): void {
    this.controller.close()
  }
}

async function copyTree(from: SimulatedFiles, to: SimulatedFiles, path: string): Promise<void> {
  const at = path === '/' ? '' : path
  for (const name of await from.list(path)) {
    const child = `${at}/${name}`
    const facts = (await from.facts(child))!
    if (facts.kind === 'directory') {
      await to.makeDirectory(child)
      await copyTree(from, to, child)
    } else if (facts.kind === 'link') await to.symlink(await from.readlink(child), child)
    else {
      await to.write(child, await from.read(child), facts.mode)
    }
  }
}

