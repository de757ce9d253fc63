import { alarmIds } from '../protocol/alarms.ts'
import { toHex } from '../protocol/bytes.ts'
import type { Crypto } from '../protocol/crypto.ts'
import type { Command, Directive } from '../protocol/directives.ts'
import { agentContracts } from '../protocol/http/agent.ts'
import type { BootId, ConnectionId, ReleaseRef } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import type { DriverName } from '../protocol/manifest.ts'
import type { AttemptReport, NodeReport, ReportBody } from '../protocol/reports.ts'
import { rollCallTopic, siteSubscriptions, siteTopic } from '../protocol/topics.ts'
import { startOver } from './apply/start-over.ts'
import { createWorker } from './apply/work.ts'
import type { AgentConfig } from './config.ts'
import type { Driver } from './driver/contract.ts'
import { drivers as allDrivers } from './driver/drivers.ts'
import { trySiteCheck } from './health/try-site-check.ts'
import type { Facts, Host } from './host/host.ts'
import { privateKeyOf, reportKeyOf, writeIdentity } from './identity.ts'
import { attemptReport } from './journal/record.ts'
import { accessTo, createCertificates, ownCertificates } from './link/certify.ts'
import { createConnection } from './link/connection.ts'
import { createController } from './link/controller.ts'
import { createInbox } from './link/inbox.ts'
import { clockTrusted, judgeLife, lifeOfGrant, type Identity } from './link/judge.ts'
import { createProtocolTold } from './link/protocol-told.ts'
import { createTrustRefresh } from './link/refresh-trust.ts'
import { reportIn } from './link/report-in.ts'
import { createTimeFacts } from './link/time-facts.ts'
import { silentLog, type Log } from './log.ts'
import { createMonitor } from './monitor/monitor.ts'
import { openMonitorState } from './monitor/state.ts'
import { createComponentWatch } from './monitor/watch-components.ts'
import { openSite } from './open-site.ts'
import { createNumbering } from './report/number-reports.ts'
import { createOutgoing } from './report/outgoing.ts'
import { sealed } from './report/seal.ts'
import { helloOf } from './report/snapshot.ts'
import { openSpool, type SpooledReport } from './report/spool.ts'
import { createContentStore } from './stage/content-store.ts'
import { createDownloader } from './stage/download.ts'
import { createReleases } from './stage/releases.ts'
import { statePaths } from './state-paths.ts'

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

/** What is installed, cut to what a report has room for. */
async function inventoryOf(facts: Facts): Promise<ReportBody> {
  const entries = Object.entries(await facts.inventory()).slice(0, 200).map(([name, value]) => [name.slice(0, 100).toWellFormed(), value.slice(0, 500).toWellFormed()])
  return { kind: 'inventory', facts: Object.fromEntries(entries) as Record<string, string> }
}

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

async function startLife({ config, host, crypto, drivers = allDrivers, log = silentLog }: AgentParts, life: AbortSignal): Promise<{ status(): AgentStatus; ended: Promise<void> }> {
  const paths = statePaths(config.stateDirectory)
  const { trust, held, journal, identity: enrolled } = await openSite(host, crypto, config, paths)
  let [siteIdentity, fenced] = [enrolled, false]
  const identity: Identity = { fleet: config.fleet, site: config.site, incarnation: siteIdentity.enrolment.incarnation }
  const bootId = toHex(host.random.bytes(16)) as BootId
  const time = createTimeFacts(host, held, bootId)
  const spool = await openSpool({ files: host.files, directory: paths.spool, reportsMax: limits.spoolReportsMax, bootId, nowMs: host.clock.nowMs, nextSeq: createNumbering(held, host.clock.nowMs(), log), log })
  const controller = createController(host, crypto, config.controllerUrl, {
    site: config.site, incarnation: identity.incarnation, privateKey: privateKeyOf(siteIdentity),
    answered: () => host.installation?.reached('controller'), told: (version) => protocol.told(version), refused: (reason) => fence(`the controller no longer knows this agent (${reason})`),
  })
  const protocol = createProtocolTold({ host, log, held, ask: () => controller.call(agentContracts.getTrust, {}, life), raised: () => sayHello() })
  const certificates = createCertificates({ host, controller, paths, log, incarnation: identity.incarnation, life })

  const seal = (each: Pick<SpooledReport, 'seq' | 'bootId' | 'body'>): Promise<Uint8Array> => sealed(crypto, identity, reportKeyOf(siteIdentity), host.clock.nowMs(), each)
  const outgoing = createOutgoing({ clock: host.clock, spool, protocol: () => protocol.version, connection: () => connection, seal, life })
  const { report } = outgoing

  async function hello(connectionId: ConnectionId): Promise<void> {
    const trusted = clockTrusted(await time.now())
    const watched = await monitor.standing()
    time.helloSaid()
    // nothing is waited for from here on: what these say must be of the moment of their numbers
    const view = { held: held.current!, journal: journal.current, nodes: worker.nodes, trustVersion: trust.current.version, clockTrusted: trusted, architecture: host.facts.architecture() }
    await Promise.all([report(helloOf(view, connectionId)), report({ kind: 'standing', ...watched })])
  }
  const sayHello = async (): Promise<void> => (connection.connectionId === null ? undefined : hello(connection.connectionId))

  async function acknowledged(each: SpooledReport): Promise<void> {
    if (each.body.kind === 'hello') host.installation?.reached('broker')
    await spool.acknowledged(each)
  }

  /** Broker credentials may have been rotated. */
  async function renew(): Promise<void> {
    const { broker, incarnation } = await controller.call(agentContracts.renewEnrolment, {}, life)
    if (incarnation !== identity.incarnation) return fence(`the enrolment is now that of incarnation ${incarnation}`)
    siteIdentity = { ...siteIdentity, enrolment: { ...siteIdentity.enrolment, broker } }
    await writeIdentity(host.files, paths, siteIdentity)
    if (broker.authentication === 'certificate') certificates.refused()
  }

  async function fence(why: string): Promise<void> {
    if (fenced) return
    fenced = true
    worker.fence()
    log('error', 'fenced', { why: `${why}; this agent is a copy or was replaced, and begins nothing any more` })
    await monitor.raise({ alarmId: alarmIds.duplicateIdentity, entity: identity.site, severity: 'critical', text: why })
  }

  async function obey(command: Command): Promise<void> {
    if (command.body.type === 'monitoring') await report({ kind: 'answer', command: command.id, ...(await monitor.follow(command.body.settings)) })
    else if (command.body.type === 'live') monitor.show(command.body.everyS, command.body.forS)
    else await worker.commandCame(command)
  }

  async function accepted(directive: Directive, waits: boolean): Promise<void> {
    if (directive.kind !== 'command') worker.interruptAhead()
    worker.ring()
    if (directive.kind === 'command') await obey(directive)
    // The desired may be lost: hello shows that it is not held, and it is sent again (D1).
    if (waits) await sayHello()
  }

  async function repeated(directive: Directive): Promise<void> {
    const { abort } = held.current!
    if (directive.kind === 'command' && abort?.command.id === directive.id && abort.answer !== null) await report({ kind: 'answer', command: directive.id, ...abort.answer })
  }

  const releases = createReleases(host.files, crypto, paths.manifests, controller, () => trust.current)
  const site = { host, drivers, held, journal, releases, nodes: config.nodes, nodesDirectory: paths.nodes, content: createContentStore(host.files, paths) }
  const monitor = createMonitor({
    host, crypto, log, report, show: outgoing.show, life, nodes: config.nodes, state: await openMonitorState(host.files, crypto, paths.monitor, log),
    certificates: () => ownCertificates(siteIdentity.enrolment.broker, certificates), components: createComponentWatch(site),
    check: (check, signal) => trySiteCheck(host, config.commands ?? {}, check, signal),
  })
  const worker = createWorker({
    ...site, crypto, log, config, paths, report, sayHello, life, stateDirectory: paths.root,
    downloader: createDownloader(host, controller, paths.partial),
    grantGood: async (record) => judgeLife(lifeOfGrant(record.grant), await time.now(record.grant.issuedAtMs)) === null,
  })
  const inbox = createInbox({
    crypto, log, identity, held, journal, report, clock: time.now,
    trust: () => trust.current,
    refreshTrust: createTrustRefresh({ clock: host.clock, controller, trust, log, life }),
    accepted, repeated, alreadyDone: worker.reportAttempt,
    fenced: (newer) => fence(`the controller knows incarnation ${newer} of this site; this is ${identity.incarnation}`),
  })
  const answerRollCall = async (): Promise<void> => {
    await host.clock.sleep(host.random.fraction() * config.jitterMs, life)
    await sayHello()
  }
  const connection = createConnection({
    host, log, renew, broker: () => accessTo(siteIdentity.enrolment.broker, certificates),
    keepAliveS: config.keepAliveS, reconnectMsMax: config.reconnectMsMax,
    subscriptions: siteSubscriptions(config.fleet, config.site),
    reportTopic: () => `${siteIdentity.enrolment.broker.reportPrefix ?? ''}${siteTopic(config.fleet, config.site, 'report')}`, presenceTopic: siteTopic(config.fleet, config.site, 'presence'),
    goneFor: async (connectionId) => seal({ seq: await spool.number(), bootId, body: { kind: 'gone', connectionId } }),
    onConnected: hello,
    onMessage: (message) => void (message.topic === rollCallTopic(config.fleet) ? answerRollCall().catch(() => undefined) : inbox.receive(message)),
    outgoing: { take: spool.take, acknowledged, seal: outgoing.seal },
  })

  const recovered = await startOver({ host, log, journal, time, worker, life })
  await report(await inventoryOf(host.facts))
  return {
    ended: Promise.all([recovered.done.then(() => worker.run(life)), connection.run(life), reportIn({ host, log, controller, life }), monitor.run(life), protocol.run(life),
      certificates.renewInTime(() => siteIdentity.enrolment.broker, () => connection.connectAnew('the certificate was renewed'))]).then(() => undefined),
    status: () => ({
      bootId, connected: connection.connectionId !== null, fenced, running: held.current!.running, previous: held.current!.previous,
      attempt: journal.current === null ? null : attemptReport(journal.current), nodes: worker.nodes, reportsWaiting: spool.length,
    }),
  }
}
