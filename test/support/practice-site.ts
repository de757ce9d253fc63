import { openEnvelope, payloadTypes } from '../../protocol/envelope.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Directive } from '../../protocol/directives.ts'
import { Directive as DirectiveSchema } from '../../protocol/directives.ts'
import type { BootId, ConnectionId, DeploymentId, Position, ReleaseRef, SiteId } from '../../protocol/ids.ts'
import type { AttemptReport, ReportBody } from '../../protocol/reports.ts'
import type { Outcome } from '../../protocol/states.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { fleet, type Controller } from './controller.ts'
import { sealedMessage, type SaidReport } from './sealed-message.ts'

/**
 * A site as the controller sees one: it takes in directives from the memory broker, and says what a test tells it to say, sealed with
 * its real key. It has no agent: tests of the controller alone use it.
 */
export class PracticeSite {
  readonly id: SiteId
  readonly controller: Controller
  running: ReleaseRef | null = null
  previous: ReleaseRef | null = null
  held: { desired: Position | null; newest: Position | null } = { desired: null, newest: null }
  attempt: AttemptReport | null = null
  protocol = { min: 1, max: 1 }
  incarnation = 1
  seq = 0
  boot = 1
  connection = 0

  constructor(controller: Controller, id: string) {
    this.controller = controller
    this.id = id as SiteId
  }

  get bootId(): BootId {
    return this.boot.toString(16).padStart(32, '0') as BootId
  }
  get connectionId(): ConnectionId {
    return this.connection.toString(16).padStart(32, 'c') as ConnectionId
  }

  /** A report as it would come from the broker; nothing is sent yet. */
  async message(body: SaidReport['body'], seq = ++this.seq): Promise<{ topic: string; payload: Uint8Array }> {
    const report: SaidReport = { v: 1, fleet, site: this.id, incarnation: this.incarnation, bootId: this.bootId, seq, sentAtMs: this.controller.clock.nowMs(), body }
    return sealedMessage(this.controller.deps.keys.ingestSecret(), report)
  }

  async say(body: ReportBody): Promise<void> {
    await receiveReports(this.controller.context(), [await this.message(body)])
  }

  helloBody(): ReportBody {
    return {
      kind: 'hello', connectionId: this.connectionId, agentVersion: '0.0.0-test', protocol: this.protocol, architecture: 'x86_64', held: this.held, trustVersion: 1, clockTrusted: true,
      running: this.running, previous: this.previous, staged: null, attempt: this.attempt, nodes: [],
    }
  }

  async connect(): Promise<void> {
    this.connection++
    await this.say(this.helloBody())
  }

  async disconnect(): Promise<void> {
    await this.say({ kind: 'gone', connectionId: this.connectionId })
  }

  /** Directives of one kind that were published to this site so far, oldest first, verified with the fleet key. */
  async directives<K extends Directive['kind']>(kind: K): Promise<Extract<Directive, { kind: K }>[]> {
    const { fleet: key } = this.controller.keys
    const found: Extract<Directive, { kind: K }>[] = []
    for (const message of this.controller.broker.messages) {
      if (message.topic !== siteTopic(fleet, this.id, kind)) continue
      const opened = await openEnvelope(nodeCrypto, JSON.parse(fromUtf8(message.payload)), payloadTypes.directive, new Map([[key.keyid, key.pair.publicKey]]))
      if (!opened.ok) throw new Error(`a directive that nobody can believe: ${opened.refusal.reason}`)
      found.push(DirectiveSchema.parse(JSON.parse(fromUtf8(opened.value.payload))) as Extract<Directive, { kind: K }>)
    }
    return found
  }

  /** The newest grant, taken in as an agent would: held positions move, the attempt begins. Null when there is none that is new. */
  async takeGrant(): Promise<{ deployment: DeploymentId; attempt: number; release: ReleaseRef | null } | null> {
    const desired = (await this.directives('desired')).at(-1)
    const grant = (await this.directives('grant')).at(-1)
    if (desired !== undefined) this.held = { desired: desired.position, newest: grant?.position ?? desired.position }
    if (grant === undefined || desired === undefined) return null
    if (this.attempt !== null && this.attempt.deployment === grant.deployment && this.attempt.attempt >= grant.attempt) return null
    this.attempt = { deployment: grant.deployment, attempt: grant.attempt, phase: 'staging', outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: grant.requestId }
    return { deployment: grant.deployment, attempt: grant.attempt, release: desired.release }
  }

  async reportStart(): Promise<void> {
    if (this.attempt === null) throw new Error('no attempt to report')
    await this.say({ kind: 'progress', attempt: this.attempt, running: this.running, previous: this.previous, nodes: [] })
  }

  /** Ends the attempt in hand; a success runs what was desired. */
  async end(outcome: Outcome, detail = `it ended ${outcome}`): Promise<void> {
    if (this.attempt === null) throw new Error('no attempt to end')
    const desired = (await this.directives('desired')).at(-1)
    if (outcome === 'succeeded') {
      this.previous = this.running
      this.running = desired?.release ?? null
    }
    this.attempt = { ...this.attempt, phase: 'ended', outcome, fault: outcome === 'succeeded' ? null : { code: 'test', detail } }
    await this.say({ kind: 'progress', attempt: this.attempt, running: this.running, previous: this.previous, nodes: [] })
  }

  /** Takes the newest grant, if there is one, and ends it. Returns whether there was one. */
  async comply(outcomeOf: () => Outcome = () => 'succeeded'): Promise<boolean> {
    if ((await this.takeGrant()) === null) return false
    await this.reportStart()
    await this.end(outcomeOf())
    return true
  }
}
