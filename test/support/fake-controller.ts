import { encodeListing } from '../../artifact/encode-listing.ts'
import type { HttpRequest, HttpResponse, MqttConnection, MqttMessage, MqttOptions, Network } from '../../edge-agent/host/host.ts'
import { gunzip } from '../../functions/adapters/node/gunzip.ts'
import { canonicalJson, fromUtf8, toBase64, toHex, utf8 } from '../../protocol/bytes.ts'
import type { KeyPair } from '../../protocol/crypto.ts'
import { Directive } from '../../protocol/directives.ts'
import { deriveReportKey, keyIdOf, openReport, payloadTypes, signEnvelope, type Envelope, type SigningKey } from '../../protocol/envelope.ts'
import { parseAgentSignature, verifyAgentRequest, controllerTimeHeader } from '../../protocol/http/agent-signature.ts'
import type { Digest, FleetId, NodeName, ReleaseRef, SiteId } from '../../protocol/ids.ts'
import { Manifest, manifestReleaseId, packedBytesMax, type DeliveryIndex } from '../../protocol/manifest.ts'
import type { z } from 'zod'
import { Report } from '../../protocol/reports.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { protocolHeader } from '../../protocol/protocol-versions.ts'
import type { Trust } from '../../protocol/trust.ts'
import { syncCrypto } from './sync-crypto.ts'

export const fleet = 'test-fleet' as FleetId
export const site = 'site-1' as SiteId
const ingestSecret = utf8('a secret of the controller')

type Pair = KeyPair & SigningKey
const newKey = async (): Promise<Pair> => {
  const pair = syncCrypto.generateKeyPair()
  return { ...pair, keyid: await keyIdOf(syncCrypto, pair.publicKey) }
}
const sha256 = (bytes: Uint8Array): Digest => toHex(syncCrypto.sha256(bytes)) as Digest
const listed = (key: Pair) => ({ keyid: key.keyid, publicKey: toBase64(key.publicKey), name: '' })

/** `Omit` on each member of a union. */
type Draft<T> = T extends unknown ? Omit<T, 'v' | 'fleet' | 'site' | 'incarnation' | 'trustVersion' | 'requestId' | 'issuedAtMs' | 'position'> & Partial<Pick<Directive, 'incarnation' | 'trustVersion' | 'issuedAtMs' | 'position'>> : never
export type DirectiveDraft = Draft<Directive>

type ComponentDraft = Omit<z.input<typeof Manifest>['components'][number], 'tree' | 'version'> & { files: Record<string, string> }
export type ReleaseDraft = { version: string; components: ComponentDraft[] } & Partial<Pick<z.input<typeof Manifest>, 'requires' | 'replaces' | 'architectures' | 'kind' | 'protocolMin'>>

/**
 * A controller, a broker and an object store in one object of memory, for one site: it signs with real keys and checks
 * what agents sign. It decides nothing; tests say what is sent.
 */
export class FakeController implements Network {
  readonly url = 'https://controller.test'
  readonly objects = new Map<string, Uint8Array>()
  readonly manifests = new Map<string, { envelope: Envelope; index: Digest; indexBytes: number }>()
  /** Every report that was sealed rightly, in the order it came. */
  readonly reports: Report[] = []
  /** Of the envelope of each of them. */
  readonly reportTypes: string[] = []
  readonly requests: string[] = []
  /** Looked at before an object is served; answers in its place where it gives something. */
  interceptObject: ((request: HttpRequest, bytes: Uint8Array) => Partial<HttpResponse> | null) | null = null
  onReport: ((report: Report) => void) | null = null
  reachable = true
  /** Reason of the 401 that every request of an agent gets; null for none. */
  /** So many requests for manifests and downloads are answered 503. */
  unavailable = 0
  refusal: string | null = null
  /** What its answers say that it speaks; null: as version 0.1.0, nothing. */
  protocol: number | null = null
  nowMs: () => number
  incarnation = 1
  generation = 0
  trust!: Trust
  trustEnvelope!: Envelope
  root!: Pair
  publisher!: Pair
  fleetKey!: Pair
  agentPublicKey: Uint8Array | null = null
  private connections: { options: MqttOptions; handlers: ((message: MqttMessage) => void)[]; closers: (() => void)[]; open: boolean }[] = []

  static async create(nowMs: () => number): Promise<FakeController> {
    const controller = new FakeController(nowMs)
    controller.root = await newKey()
    controller.publisher = await newKey()
    controller.fleetKey = await newKey()
    await controller.issueTrust(1)
    return controller
  }

  private constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  async issueTrust(version: number): Promise<void> {
    this.trust = { v: 1, fleet, version, issuedAtMs: 0, rootKey: listed(this.root), publisherKeys: [listed(this.publisher)], fleetKeys: [listed(this.fleetKey)] }
    this.trustEnvelope = await signEnvelope(syncCrypto, payloadTypes.trust, utf8(JSON.stringify(this.trust)), this.root)
  }

  async enrolment() {
    const reportKey = await deriveReportKey(syncCrypto, ingestSecret, fleet, site, this.incarnation)
    return { fleet, site, incarnation: this.incarnation, trust: this.trustEnvelope, reportKey: toBase64(reportKey), broker: { url: 'mqtt://broker.test', clientId: site, username: site, password: 'secret' } }
  }

  /** Signs a release, and puts its bytes into the store: as they are, uncompressed. */
  async publish(draft: ReleaseDraft): Promise<ReleaseRef> {
    const { components, ...head } = draft
    const contents = new Map<Digest, Uint8Array>()
    const built = components.map(({ files, ...component }) => {
      const entries = Object.entries(files).map(([path, text]) => ({ type: 'file' as const, path, mode: path.startsWith('bin/') ? 0o755 : 0o644, size: utf8(text).length, sha256: sha256(utf8(text)) }))
      for (const text of Object.values(files)) if (text !== '') contents.set(sha256(utf8(text)), utf8(text))
      const { bytes, ref } = encodeListing(entries, component.name)
      contents.set(ref.digest, bytes)
      return { ...component, version: draft.version, tree: ref }
    })
    const manifest = Manifest.parse({ v: 1, kind: 'release', name: 'shop', createdAtMs: 0, ...head, components: built })
    const payload = utf8(JSON.stringify(manifest))
    const index = this.store(utf8(canonicalJson(this.packOf(contents, new Set(built.map(({ tree }) => tree.digest))))))
    const digest = sha256(payload)
    this.manifests.set(digest, { envelope: await signEnvelope(syncCrypto, payloadTypes.manifest, payload, this.publisher), index, indexBytes: this.objects.get(index)!.length })
    return { id: manifestReleaseId(manifest), digest }
  }

  /** Small contents into one pack, each other one and each listing into an object of its own. */
  private packOf(contents: ReadonlyMap<Digest, Uint8Array>, alone: ReadonlySet<Digest>): DeliveryIndex {
    const index: DeliveryIndex = { v: 1, content: {}, objects: {}, patches: [] }
    const packed = [...contents].filter(([digest, bytes]) => !alone.has(digest) && bytes.length <= packedBytesMax)
    const pack = new Uint8Array(Buffer.concat(packed.map(([, bytes]) => bytes)))
    const name = packed.length > 0 ? this.store(pack) : null
    if (name !== null) index.objects[name] = pack.length
    let offset = 0
    for (const [digest, bytes] of packed) {
      index.content[digest] = { pack: name!, offset, storedBytes: bytes.length, codec: 'none' }
      offset += bytes.length
    }
    for (const [digest, bytes] of contents) {
      if (index.content[digest] !== undefined) continue
      index.objects[this.store(bytes)] = bytes.length
      index.content[digest] = { object: digest, storedBytes: bytes.length, codec: 'none' }
    }
    return index
  }

  private store(bytes: Uint8Array): Digest {
    const digest = sha256(bytes)
    this.objects.set(digest, bytes)
    return digest
  }

  /** A directive as it travels: complete, with the next position unless one is given, signed by the fleet key. */
  async sign(draft: DirectiveDraft, key: SigningKey = this.fleetKey): Promise<{ directive: Directive; payload: Uint8Array }> {
    const directive = Directive.parse({
      v: 1, fleet, site, incarnation: this.incarnation, trustVersion: this.trust.version, requestId: 'request-1', issuedAtMs: this.nowMs(),
      position: draft.position ?? { epoch: 1, generation: ++this.generation }, ...draft,
    })
    return { directive, payload: utf8(JSON.stringify(await signEnvelope(syncCrypto, payloadTypes.directive, utf8(JSON.stringify(directive)), key))) }
  }

  /** Signs and delivers to whoever is connected. */
  async send(draft: DirectiveDraft, retained = false): Promise<Directive> {
    const { directive, payload } = await this.sign(draft)
    this.deliver({ topic: siteTopic(fleet, site, directive.kind), payload, retained })
    return directive
  }

  deliver(message: MqttMessage): void {
    for (const { handlers, open } of this.connections) if (open) for (const handler of handlers) handler(message)
  }

  /** The power of the site is gone, or the line: connections end without a goodbye. */
  dropConnections(): void {
    for (const connection of this.connections) {
      connection.open = false
      for (const closer of connection.closers) closer()
    }
    this.connections = []
  }

  get connected(): boolean {
    return this.connections.some((connection) => connection.open)
  }

  async mqtt(options: MqttOptions): Promise<MqttConnection> {
    if (!this.reachable) throw new Error('the broker does not answer')
    const connection = { options, handlers: [] as ((message: MqttMessage) => void)[], closers: [] as (() => void)[], open: true }
    this.connections.push(connection)
    return {
      publish: async (topic, payload) => {
        if (!connection.open) throw new Error('the connection is closed')
        await this.ingest(topic, payload)
      },
      subscribe: async () => undefined,
      onMessage: (handler) => void connection.handlers.push(handler),
      onClose: (handler) => void connection.closers.push(handler),
      close: async () => {
        if (!connection.open) return
        connection.open = false
        for (const closer of connection.closers) closer()
      },
    }
  }

  private async ingest(topic: string, payload: Uint8Array): Promise<void> {
    const envelope = JSON.parse(fromUtf8(payload)) as Envelope
    const opened = await openReport(syncCrypto, gunzip, envelope, () => deriveReportKey(syncCrypto, ingestSecret, fleet, site, this.incarnation))
    if (!opened.ok) throw new Error(`a report under ${topic} is refused: ${JSON.stringify(opened.refusal)}`)
    const report = Report.parse(JSON.parse(fromUtf8(opened.value.payload)))
    this.reports.push(report)
    this.reportTypes.push(envelope.payloadType)
    this.onReport?.(report)
  }

  async http(request: HttpRequest): Promise<HttpResponse> {
    if (!this.reachable) throw new Error('the controller does not answer')
    const { pathname, host } = new URL(request.url)
    this.requests.push(`${request.method} ${pathname}`)
    if (host === 'objects.test') return this.serveObject(request, pathname.slice(1))
    const answer = await this.answer(request, pathname)
    const spoken: Record<string, string> = this.protocol === null ? {} : { [protocolHeader]: String(this.protocol) }
    return { status: answer.status, headers: { ...spoken, ...answer.headers }, body: piecesOf(utf8(JSON.stringify(answer.body ?? {}))) }
  }

  private async answer(request: HttpRequest, path: string): Promise<{ status: number; body?: unknown; headers?: Record<string, string> }> {
    const body = request.body === undefined ? {} : (JSON.parse(fromUtf8(request.body)) as Record<string, unknown>)
    if (path === '/v1/trust') return { status: 200, body: this.trustEnvelope }
    if (path === '/v1/enrol') {
      this.agentPublicKey = new Uint8Array(Buffer.from(body.publicKey as string, 'base64'))
      return { status: 201, body: await this.enrolment() }
    }
    if (this.refusal !== null) return { status: 401, body: problemOf(this.refusal) }
    const signature = parseAgentSignature(request.headers.authorization ?? '')
    const known = signature !== null && signature.incarnation === this.incarnation && this.agentPublicKey !== null
      && (await verifyAgentRequest(syncCrypto, this.agentPublicKey, request.method, path, request.body ?? new Uint8Array(0), signature))
    if (!known) return { status: 401, body: {} }
    if (Math.abs(signature.timeMs - this.nowMs()) > 300_000) return { status: 401, body: {}, headers: { [controllerTimeHeader]: String(this.nowMs()) } }
    if (path === '/v1/agent/enrolment') return { status: 200, body: await this.enrolment() }
    if (this.unavailable > 0 && this.unavailable-- > 0) return { status: 503 }
    if (path === '/v1/agent/downloads') {
      const downloads = (body.objects as string[]).map((object) => ({ object, url: `https://objects.test/${object}`, headers: {} }))
      return { status: 200, body: { expiresAt: new Date(this.nowMs() + 900_000).toISOString(), downloads } }
    }
    const manifest = this.manifests.get(path.slice('/v1/agent/manifests/'.length))
    return manifest === undefined ? { status: 404 } : { status: 200, body: manifest }
  }

  private serveObject(request: HttpRequest, name: string): HttpResponse {
    const bytes = this.objects.get(name)
    if (bytes === undefined) return { status: 404, headers: {}, body: piecesOf(utf8('not here')) }
    const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const part = bytes.subarray(Number(first), last === '' ? bytes.length : Number(last) + 1)
    const own: HttpResponse = { status: 206, headers: { 'content-range': `bytes ${first}-${Number(first) + part.length - 1}/${bytes.length}`, etag: `"${name}"` }, body: piecesOf(part) }
    return { ...own, ...this.interceptObject?.(request, bytes) }
  }

  async tcpConnects(): Promise<boolean> {
    return true
  }
}

const problemOf = (reason: string) =>
  ({ type: 'about:blank', title: 'refused', status: 401, code: 'unauthenticated', detail: `refused: ${reason}`, reason, retry: false, requestId: 'request-1' })

/** A body that comes in a few pieces. */
export async function* piecesOf(bytes: Uint8Array, pieceBytes = 1024): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) yield bytes.subarray(offset, offset + pieceBytes)
}

/** Two nodes of a site whose agent's own is the second. */
export const twoNodes = [
  { name: 'worker-0' as NodeName, personality: 'worker' as const, root: '/nodes/worker-0', hasAgent: false },
  { name: 'controller-0' as NodeName, personality: 'controller' as const, root: '/nodes/controller-0', hasAgent: true },
]
