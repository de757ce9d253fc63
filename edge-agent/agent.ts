import { toHex } from '../protocol/bytes.ts'
import type { Crypto } from '../protocol/crypto.ts'
import { agentContracts } from '../protocol/http/agent.ts'
import type { BootId, ConnectionId } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { DriverName } from '../protocol/manifest.ts'
import type { AttemptReport, NodeReport, ReportBody } from '../protocol/reports.ts'
import { rollCallTopic, siteSubscriptions, siteTopic } from '../protocol/topics.ts'
import type { ReleaseRef } from '../protocol/ids.ts'
import { createWorker } from './apply/work.ts'
import type { AgentConfig } from './config.ts'
import type { Driver } from './driver/contract.ts'
import { drivers as allDrivers } from './driver/drivers.ts'
import { ensureDirectory } from './driver/durable.ts'
import { freshState, HeldState } from './held/state.ts'
import type { Host, MqttMessage } from './host/host.ts'
import { openTrustStore, privateKeyOf, readIdentity, reportKeyOf, writeIdentity, type SiteIdentity } from './identity.ts'
import { attemptReport, JournalRecord } from './journal/record.ts'
import { recover } from './journal/recover.ts'
import { openStore } from './journal/store.ts'
import { backoffMs } from './link/backoff.ts'
import { createConnection } from './link/connection.ts'
import { createController } from './link/controller.ts'
import { createInbox } from './link/inbox.ts'
import { clockTrusted, judgeLife, lifeOfGrant, type ClockFacts, type Identity } from './link/judge.ts'
import { explain, silentLog, type Log } from './log.ts'
import { createNumbering } from './report/number-reports.ts'
import { sealed } from './report/seal.ts'
import { helloOf } from './report/snapshot.ts'
import { openSpool } from './report/spool.ts'
import { createContentStore } from './stage/content-store.ts'
import { createDownloader } from './stage/download.ts'
import { createReleases } from './stage/releases.ts'
import { statePaths, type StatePaths } from './state-paths.ts'

export type AgentParts = { config: AgentConfig; host: Host; crypto: Crypto; drivers?: Record<DriverName, Driver>; log?: Log }

export type AgentStatus = {
  bootId: BootId
  connected: boolean
  fenced: boolean
  running: ReleaseRef | null
  previous: ReleaseRef | null
  attempt: AttemptReport | null
  nodes: NodeReport[]
  reportsWaiting: number
}

/** One site's agent. Nothing is shared between two of them but the code. */
export interface Agent {
  /** Takes up where the last life ended, then works until `stop`. Throws where it cannot: not enrolled, or its files are damaged. */
  start(): Promise<void>
  /** Ends in good order; an attempt goes on at the next start. */
  stop(): Promise<void>
  /** Throws before `start` has returned. */
  status(): AgentStatus
}

/** Trust is not asked for more often, whatever unknown keys sign. */
const trustEveryMs = 60_000

export function createAgent(parts: AgentParts): Agent {
  const stopping = new AbortController()
  let life: { status(): AgentStatus; ended: Promise<void> } | null = null
  return {
    async start() {
      life = await startLife(parts, stopping.signal)
    },
    async stop() {
      stopping.abort(new Error('the agent stops'))
      await life?.ended
    },
    status() {
      if (life === null) throw new Error('the agent has not started')
      return life.status()
    },
  }
}

async function prepareDirectories(host: Host, paths: StatePaths): Promise<void> {
  for (const directory of [paths.spool, paths.manifests, paths.content, paths.partial, paths.trees, paths.nodes]) await ensureDirectory(host.files, directory)
}

async function requireIdentity(host: Host, paths: StatePaths, config: AgentConfig): Promise<SiteIdentity> {
  const identity = await readIdentity(host.files, paths)
  if (identity === null) throw new Error(`this site is not enrolled: run "murmur-agent enrol" first (nothing at ${paths.identity})`)
  const { site, fleet } = identity.enrolment
  if (site !== config.site || fleet !== config.fleet) throw new Error(`agent.json is of ${config.fleet}/${config.site}, the identity of ${fleet}/${site}`)
  return identity
}

async function startLife({ config, host, crypto, drivers = allDrivers, log = silentLog }: AgentParts, signal: AbortSignal): Promise<{ status(): AgentStatus; ended: Promise<void> }> {
  const paths = statePaths(config.stateDirectory)
  await prepareDirectories(host, paths)
  let siteIdentity = await requireIdentity(host, paths, config)
  const identity: Identity = { fleet: config.fleet, site: config.site, incarnation: siteIdentity.enrolment.incarnation }
  const bootId = toHex(host.random.bytes(16)) as BootId
  const trust = await openTrustStore(host.files, crypto, paths, config, siteIdentity.enrolment.trust)
  const held = await openStore(host.files, crypto, paths.held, HeldState)
  if (held.current?.incarnation !== identity.incarnation) await held.write(freshState(identity.incarnation, held.current))
  const journal = await openStore(host.files, crypto, paths.journal, JournalRecord)
  const spool = await openSpool({ files: host.files, directory: paths.spool, reportsMax: limits.spoolReportsMax, bootId, nowMs: host.clock.nowMs, nextSeq: createNumbering(held, log), log })
  const controller = createController(host, crypto, config.controllerUrl, {
    site: config.site, incarnation: identity.incarnation, privateKey: privateKeyOf(siteIdentity), refused: (reason) => fence(`the controller no longer knows this agent (${reason})`),
  })

  let firstHelloMs: number | null = null
  let floorMs = 0
  let trustAskedMs = Number.NEGATIVE_INFINITY
  let fenced = false

  const report = async (body: ReportBody): Promise<void> => {
    await spool.add(body)
    connection.ring()
  }
  async function clock(issuedAtMs: number): Promise<ClockFacts> {
    floorMs = Math.max(floorMs, issuedAtMs, held.current!.timeFloorMs)
    const sinceHelloMs = firstHelloMs === null ? null : host.clock.monotonicMs() - firstHelloMs
    return { nowMs: host.clock.nowMs(), floorMs, synchronised: await host.facts.clockSynchronised(), bootId, sinceHelloMs }
  }
  async function hello(connectionId: ConnectionId): Promise<void> {
    const view = { held: held.current!, journal: journal.current, nodes: worker.nodes, trustVersion: trust.current.version, clockTrusted: clockTrusted(await clock(0)), architecture: host.facts.architecture() }
    firstHelloMs ??= host.clock.monotonicMs()
    await report(helloOf(view, connectionId))
  }
  const sayHello = async (): Promise<void> => (connection.connectionId === null ? undefined : hello(connection.connectionId))

  async function refreshTrust(): Promise<boolean> {
    if (host.clock.monotonicMs() - trustAskedMs < trustEveryMs) return false
    trustAskedMs = host.clock.monotonicMs()
    try {
      const taken = await trust.offer(await controller.call(agentContracts.getTrust, {}, signal))
      if (taken) log('info', 'trust-taken', { version: trust.current.version })
      return taken
    } catch (error) {
      log('warn', 'trust-not-taken', { error: explain(error) })
      return false
    }
  }
  async function renew(): Promise<void> {
    const enrolment = await controller.call(agentContracts.renewEnrolment, {}, signal)
    if (enrolment.incarnation !== identity.incarnation || enrolment.site !== identity.site) return fence(`the enrolment is now that of incarnation ${enrolment.incarnation}`)
    siteIdentity = { ...siteIdentity, enrolment: { ...siteIdentity.enrolment, broker: enrolment.broker } }
    await writeIdentity(host.files, paths, siteIdentity)
  }
  async function fence(why: string): Promise<void> {
    if (fenced) return
    fenced = true
    worker.fence()
    log('error', 'fenced', { why: `${why}; this agent is a copy or was replaced, and begins nothing any more` })
    await report({ kind: 'alarm', alarmId: 'duplicate-agent', entity: identity.site, raised: true, severity: 'critical', text: why })
  }

  const content = createContentStore(host.files, paths)
  const worker = createWorker({
    host, crypto, log, config, paths, drivers, held, journal, content, report, sayHello, life: signal,
    nodes: config.nodes, nodesDirectory: paths.nodes, stateDirectory: paths.root,
    releases: createReleases(host.files, crypto, paths.manifests, controller, () => trust.current),
    downloader: createDownloader(host, controller, paths.partial),
    grantGood: async (record) => judgeLife(lifeOfGrant(record.grant), await clock(record.grant.issuedAtMs)) === null,
  })
  const inbox = createInbox({
    crypto, log, identity, held, journal, clock, report, refreshTrust,
    trust: () => trust.current,
    async accepted(directive, waits) {
      if (directive.kind !== 'command') worker.interruptAhead()
      worker.ring()
      if (directive.kind === 'command') await worker.commandCame(directive)
      // The desired may be lost: hello shows that it is not held, and it is sent again (D1).
      if (waits) await sayHello()
    },
    async repeated(directive) {
      const command = held.current!.command
      if (directive.kind === 'command' && command !== null && command.answer !== null) await report({ kind: 'answer', command: directive.id, ...command.answer })
    },
    alreadyDone: () => worker.reportAttempt(),
    fenced: (newer) => fence(`the controller knows incarnation ${newer} of this site; this is ${identity.incarnation}`),
  })
  const rollCall = async (): Promise<void> => {
    await host.clock.sleep(host.random.fraction() * config.jitterMs, signal)
    await sayHello()
  }
  const connection = createConnection({
    host, log, renew,
    broker: () => siteIdentity.enrolment.broker,
    keepAliveS: config.keepAliveS, reconnectMsMax: config.reconnectMsMax,
    subscriptions: siteSubscriptions(config.fleet, config.site),
    reportTopic: siteTopic(config.fleet, config.site, 'report'), presenceTopic: siteTopic(config.fleet, config.site, 'presence'),
    goneFor: async (connectionId) => seal({ ...(await numberOnly()), body: { kind: 'gone', connectionId } }),
    onConnected: hello,
    onMessage: (message: MqttMessage) => void (message.topic === rollCallTopic(config.fleet) ? rollCall().catch(() => undefined) : inbox.receive(message)),
    outgoing: { take: () => spool.take(), acknowledged: (each) => spool.acknowledged(each), seal: (each) => seal(each) },
  })
  const seal = (each: { seq: number; bootId: BootId; body: ReportBody }): Promise<Uint8Array> => sealed(crypto, identity, reportKeyOf(siteIdentity), host.clock.nowMs(), each)
  const numberOnly = async (): Promise<{ seq: number; bootId: BootId }> => ({ seq: await spool.number(), bootId })

  async function recoverAttempt(): Promise<void> {
    const record = journal.current
    const awayMs = record !== null && clockTrusted(await clock(0)) ? host.clock.nowMs() - record.wallMs : 0
    const recovery = recover(record, { awayMs }, limits)
    if (recovery.kind === 'nothing') return
    log('info', 'recovered', { kind: recovery.kind, why: recovery.why, phase: recovery.record.phase, starts: recovery.record.starts })
    await journal.write({ ...recovery.record, wallMs: Math.max(0, Math.round(host.clock.nowMs())) })
    await worker.reportAttempt()
  }

  /** A disk that is full must not keep the agent from saying so (F23): what has to be written is tried until it is. */
  async function recoverOnce(): Promise<boolean> {
    try {
      await recoverAttempt()
      await worker.lookAround()
      return true
    } catch (error) {
      log('error', 'not-recovered', { error: explain(error) })
      return false
    }
  }
  async function recoverAndWork(recovered: boolean): Promise<void> {
    for (let tries = 1; !recovered && !signal.aborted; tries++) {
      await host.clock.sleep(backoffMs(tries, { base: 1000, max: 60_000 }, host.random), signal).catch(() => undefined)
      recovered = await recoverOnce()
    }
    return worker.run(signal)
  }

  const recovered = await recoverOnce()
  const facts = Object.entries(await host.facts.inventory()).slice(0, 200).map(([name, value]) => [name.slice(0, 100), value.slice(0, 500)])
  await report({ kind: 'inventory', facts: Object.fromEntries(facts) as Record<string, string> })
  const ended = Promise.all([recoverAndWork(recovered), connection.run(signal)]).then(() => undefined)
  return {
    ended,
    status: () => ({
      bootId, connected: connection.connectionId !== null, fenced, running: held.current!.running, previous: held.current!.previous,
      attempt: journal.current === null ? null : attemptReport(journal.current), nodes: worker.nodes, reportsWaiting: spool.length,
    }),
  }
}
