import { severities, type Severity } from './states.ts'

/** ITU-T X.733 event types. */
export const alarmTypes = ['communications', 'quality-of-service', 'processing-error', 'equipment', 'environmental', 'integrity-violation', 'operational-violation', 'security-violation', 'time-domain-violation'] as const
export type AlarmType = (typeof alarmTypes)[number]

/** What one alarm id means. The page docs/ALARMS.md is made of these. */
export type AlarmEntry = {
  id: string
  name: string
  meaning: string
  /** Who finds it out: an id of the controller's own is not taken from a site. */
  raisedBy: 'site' | 'controller'
  severities: readonly Severity[]
  /** What `entity` looks like. */
  entity: string
  type: AlarmType
  /** ITU-T X.733 and X.736. */
  probableCause: string
  repair: string
  /** From this severity on it keeps rollouts from going on; null: never. */
  gatesFrom: Severity | null
  /** What a deployment or a person at work brings about by itself: not announced while it lasts, only if it stays afterwards. */
  expectedInMaintenance: boolean
}

const entry = (
  id: string, name: string, raisedBy: AlarmEntry['raisedBy'], severity: readonly Severity[], entity: string, type: AlarmType, probableCause: string,
  gatesFrom: Severity | null, expectedInMaintenance: boolean, meaning: string, repair: string,
): AlarmEntry => ({ id, name, meaning, raisedBy, severities: severity, entity, type, probableCause, repair, gatesFrom, expectedInMaintenance })

/** Ids are `group.number`: 100 a node's resources, 110 its network and clock, 120 services, 130 certificates, 140 Kubernetes, 190 monitoring itself, 200 a site as a whole, 300 rollouts, 400 the controller's links. An id is never given another meaning. */
const entries: readonly AlarmEntry[] = [
  entry('100.001', 'Processor busy', 'site', ['critical', 'major', 'minor'], 'node=NAME', 'quality-of-service', 'cpu-cycles-limit-exceeded', 'critical', true,
    'The processors of a node have been busier than the threshold allows.', 'Find what uses them; move workload to other nodes, or raise the threshold if this load is normal here.'),
  entry('100.002', 'Memory short', 'site', ['critical', 'major', 'minor'], 'node=NAME', 'quality-of-service', 'out-of-memory', 'critical', true,
    'Less memory is available on a node than the threshold asks for.', 'Find what uses it; restart what leaks, move workload, or add memory.'),
  entry('100.003', 'Filesystem full', 'site', ['critical', 'major', 'minor'], 'node=NAME.filesystem=PATH', 'equipment', 'storage-capacity-problem', 'critical', false,
    'A filesystem is fuller than the threshold allows.', 'Remove what is not needed (logs, images, dumps) or enlarge it. `murmur usage SITE` shows how fast it fills.'),
  entry('100.004', 'Directory over budget', 'site', ['critical', 'major', 'minor'], 'node=NAME.directory=PATH', 'equipment', 'storage-capacity-problem', 'critical', false,
    'A directory holds more than the budget that the site\'s monitoring gives it.', 'Remove what is not needed from it, or raise its budget.'),
  entry('100.005', 'Disk unhealthy', 'site', ['critical', 'major', 'warning'], 'node=NAME.disk=DEVICE', 'equipment', 'disk-failure', 'critical', false,
    'The kernel reports errors of a filesystem, a degraded array, worn-out flash, or a filesystem that became read-only.', 'Save what is on it and replace the disk; a filesystem with errors wants a check while it is not mounted.'),
  entry('100.006', 'Filesystem unreadable', 'site', ['major'], 'node=NAME.filesystem=PATH', 'equipment', 'input-output-device-error', null, false,
    'How full a filesystem is cannot be told: its disk hangs, or refuses to be read. Its other alarms stay as they were. While two hang, the agent asks none, and knows nothing new of the others either.',
    'Look at its disk and at the kernel\'s log. One that nobody needs is unmounted, or left out: `filesystem.ignore` in the site\'s monitoring.'),
  entry('110.001', 'Network interface down', 'site', ['critical', 'major', 'minor'], 'node=NAME.interface=NAME', 'communications', 'link-failure', 'critical', true,
    'An interface that is watched has no link.', 'Check cable, switch port and module.'),
  entry('110.002', 'Clock off', 'site', ['critical', 'major', 'minor'], 'node=NAME.clock', 'time-domain-violation', 'timing-problem', null, false,
    'The clock of a node differs from its time source by more than the threshold, or has none.', 'See that NTP or PTP runs and reaches its servers. Windows and the life of grants depend on the clock.'),
  entry('120.001', 'Unit failed', 'site', ['major', 'minor', 'warning'], 'node=NAME.unit=NAME', 'processing-error', 'software-error', 'critical', true,
    'A systemd unit is in the state failed.', 'Read its journal, mend the cause, then `systemctl reset-failed` or restart it.'),
  entry('120.002', 'Check failed', 'site', ['critical', 'major', 'minor', 'warning'], 'check=NAME', 'processing-error', 'application-subsystem-failure', 'critical', true,
    'A check that the site\'s monitoring declares fails.', 'See what the check says; what to do is up to whoever declared it.'),
  entry('120.003', 'Component failed', 'site', ['critical', 'major'], 'node=NAME.component=NAME[.files]', 'processing-error', 'software-program-abnormally-terminated', 'critical', true,
    'A component of the release that runs fails its health checks, or is not what was installed. `.files`: files of its tree were removed or changed there.',
    'If it began with a rollout, return the site to the release before it; else mend the component, put its files back, or take the site to another release and back.'),
  entry('130.001', 'Certificate expires', 'site', ['critical', 'major', 'minor'], 'certificate=PATH', 'security-violation', 'key-expired', null, false,
    'A certificate has expired or soon will.', 'Renew it. The agent renews its own by itself; if that one stands, look at the agent\'s log.'),
  entry('140.001', 'Kubernetes unreachable', 'site', ['critical', 'major'], 'kubernetes', 'processing-error', 'application-subsystem-failure', 'critical', true,
    'The Kubernetes API of the site does not answer the agent.', 'Look at the API server and etcd on the controller nodes; see that the kubeconfig is still valid.'),
  entry('140.002', 'Kubernetes node not ready', 'site', ['critical', 'major'], 'node=NAME', 'processing-error', 'application-subsystem-failure', 'critical', true,
    'Kubernetes says that a node is not ready.', 'Look at its kubelet and container runtime; drain and restart it if it does not recover.'),
  entry('140.003', 'System pod not running', 'site', ['critical', 'major', 'minor'], 'pod=NAMESPACE/NAME', 'processing-error', 'software-program-abnormally-terminated', 'critical', true,
    'A pod of a system namespace is not running and ready.', 'Look at its events and its log with kubectl.'),
  entry('190.001', 'Too many alarms', 'site', ['major'], 'site', 'quality-of-service', 'threshold-crossed', null, false,
    'A site raises more alarms than are kept; the others are counted, and come back with its next metrics if there is room for them then.', 'Deal with those that stand: usually they have one cause. Narrow a check or threshold that raises too many.'),
  entry('200.001', 'Directive refused as forged', 'site', ['major'], 'REASON', 'security-violation', 'authentication-failure', 'critical', false,
    'A message came to the agent that the controller did not send, or that was garbled on its way.', 'Find out who may publish at the broker. Nothing of it was obeyed.'),
  entry('200.002', 'Duplicate identity', 'site', ['critical'], 'SITE', 'security-violation', 'duplicate-information', 'critical', false,
    'Two agents speak for one site: one is a copy, or was replaced and still runs.', 'Stop the one that does not belong there; enrol the right one with a new claim if in doubt.'),
  entry('200.003', 'Site offline', 'controller', ['major'], 'site', 'communications', 'communications-subsystem-failure', null, true,
    'The agent of a site is not connected. What runs there goes on; nothing can be told to it.', 'Check power and uplink of the site, then the agent (`systemctl status murmur-agent`).'),
  entry('200.004', 'Site suspect', 'controller', ['minor'], 'site', 'communications', 'response-time-excessive', null, true,
    'A site that counts as connected has sent no metrics for two periods, and no last will came.', 'Check as for a site that is offline; the broker may have lost its last will.'),
  entry('200.005', 'Site clock skewed', 'controller', ['minor', 'major'], 'site', 'time-domain-violation', 'timing-problem', null, false,
    'What a site sends carries a time that is far from the controller\'s.', 'See that NTP runs there. Times in its reports are replaced by those of their arrival.'),
  entry('200.006', 'Agent too old', 'controller', ['major'], 'site', 'operational-violation', 'version-mismatch', null, false,
    'The agent speaks no protocol version that this controller speaks, and is told nothing.', 'Bring a newer agent by hand (docs/AGENT.md); a release with one cannot reach it any more.'),
  entry('200.007', 'Node locked', 'controller', ['warning'], 'node=NAME', 'operational-violation', 'out-of-service', null, false,
    'Somebody has locked a node: alarms of it are not announced, and no deployment starts at its site.', '`murmur site unlock SITE NODE` when the work is done.'),
  entry('300.001', 'Rollout paused', 'controller', ['major'], 'rollout=ID', 'operational-violation', 'procedural-error', null, false,
    'A rollout has paused by itself and waits for a person.', '`murmur rollout show ID` says why; resume it, or abort it.'),
  entry('300.002', 'Deployment failed', 'controller', ['major'], 'rollout=ID', 'processing-error', 'software-error', null, false,
    'A site could not be brought to its release; it runs what it ran before, or is not known to.', '`murmur site explain SITE` shows the fault; retry, waive, or publish a mended release.'),
  entry('300.003', 'Site needs hands', 'controller', ['critical'], 'rollout=ID', 'processing-error', 'software-error', null, false,
    'Neither the old nor the new release could be established at a site.', 'Go there or log in: the fault says what failed. The agent notices by itself when it is mended.'),
  entry('400.001', 'Webhook failing', 'controller', ['major', 'minor'], 'webhook=ID', 'communications', 'remote-node-transmission-error', null, false,
    'Deliveries to a webhook have failed for a while, or it was disabled.', '`murmur webhook deliveries ID` shows what it answers; nothing is lost for three days, and can be replayed after.'),
  entry('400.002', 'Object store unreachable', 'controller', ['critical'], 'object-store', 'communications', 'communications-subsystem-failure', null, false,
    'The object store does not answer: nothing can be published or staged.', '`murmur infra doctor` says what is wrong with it.'),
  entry('400.003', 'Broker unreachable', 'controller', ['critical'], 'broker', 'communications', 'communications-subsystem-failure', null, false,
    'The controller cannot publish: directives wait, reports may not come in.', '`murmur infra doctor` says what is wrong with it.'),
]

export const alarmCatalogue: ReadonlyMap<string, AlarmEntry> = new Map(entries.map((each) => [each.id, each]))

/** Ids by what the code calls them. */
export const alarmIds = {
  cpu: '100.001', memory: '100.002', filesystem: '100.003', directory: '100.004', disk: '100.005', filesystemUnread: '100.006', interface: '110.001', clock: '110.002', unit: '120.001', check: '120.002', component: '120.003',
  certificate: '130.001', kubernetes: '140.001', kubernetesNode: '140.002', systemPod: '140.003', tooMany: '190.001', forgedDirective: '200.001', duplicateIdentity: '200.002',
  siteOffline: '200.003', siteSuspect: '200.004', clockSkew: '200.005', agentTooOld: '200.006', nodeLocked: '200.007', rolloutPaused: '300.001', deploymentFailed: '300.002', needsHands: '300.003',
  webhookFailing: '400.001', storeUnreachable: '400.002', brokerUnreachable: '400.003',
} as const

/** A site says these once and does not know when they end: a person clears them. */
export const saidOnceAlarms: readonly string[] = [alarmIds.forgedDirective, alarmIds.duplicateIdentity]

/** The site of alarms that are about the whole fleet: a name no site can have. */
export const fleetSite = '_fleet'

/** Whether `severity` is at least as bad as `than`. */
export const isAtLeast = (severity: Severity, than: Severity): boolean => severities.indexOf(severity) <= severities.indexOf(than)

/** Whether an alarm keeps rollouts from going on. One that is not in the catalogue does when it is critical. */
export function gates(alarmId: string, severity: Severity): boolean {
  const known = alarmCatalogue.get(alarmId)
  const from = known === undefined ? 'critical' : known.gatesFrom
  return from !== null && isAtLeast(severity, from)
}
