import { describe, expect, test } from 'vitest'
import { FileError, type Host } from '../../edge-agent/host/host.ts'
import type { NodeSample, Sensors } from '../../edge-agent/host/sensors.ts'
import type { Store } from '../../edge-agent/journal/store.ts'
import { createMonitor } from '../../edge-agent/monitor/monitor.ts'
import { emptyState, type MonitorState } from '../../edge-agent/monitor/state.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import type { CommandBody } from '../../protocol/directives.ts'
import { payloadTypes } from '../../protocol/envelope.ts'
import type { CommandId, NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { HealthCheck } from '../../protocol/manifest.ts'
import { monitoringText, type MonitoringSettings } from '../../protocol/monitoring.ts'
import { ok } from '../../protocol/result.ts'
import type { Report, ReportBody } from '../../protocol/reports.ts'
import { twoNodes } from '../support/fake-controller.ts'
import { quietSensors } from '../support/quiet-sensors.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { deployment, stateDirectory, TestSite } from '../support/test-site.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const minuteMs = 60_000
const quarterMs = limits.metricBlockMs
const node = twoNodes[1]!.name

type Machine = { sensors: Sensors; fullness: number; failed: string[]; sampled: number }

/** A machine whose `/var` is as full as the test says, and whose counters go on. */
function aMachine(site: TestSite): Machine {
  const machine: Machine = { fullness: 10, failed: [], sampled: 0, sensors: quietSensors }
  const sampleOf = (name: NodeName): NodeSample => ({
    node: name, countersAtMs: site.clock.monotonicMs(), cpu: { busyMs: site.clock.monotonicMs() / 4, totalMs: site.clock.monotonicMs() }, memory: { totalBytes: 1000, availableBytes: 600 }, pods: null,
    filesystems: [{ path: '/var', device: 'sda1', sizeBytes: 1000, usedBytes: machine.fullness, availableBytes: 100 - machine.fullness, inodes: null }],
    unread: [],
    interfaces: [{ name: 'eth0', up: true, hasDevice: true, receivedBytes: site.clock.monotonicMs() * 5, sentBytes: site.clock.monotonicMs() }],
  })
  machine.sensors = {
    ...quietSensors,
    failedUnits: async () => ok(machine.failed.map((name) => ({ name, description: '' }))),
    async sample(nodes) {
      machine.sampled += 1
      return nodes.map(({ name }) => sampleOf(name))
    },
  }
  site.sensors = machine.sensors
  return machine
}

async function aSite(protocol: number | null = 2): Promise<{ site: TestSite; machine: Machine }> {
  const site = await TestSite.create()
  site.controller.protocol = protocol
  const machine = aMachine(site)
  await site.start()
  await site.clock.until(() => bodies(site, 'hello').length > 0 && site.agent!.status().reportsWaiting === 0, 'it said hello')
  return { site, machine }
}
function bodies<K extends ReportBody['kind']>(site: TestSite, kind: K): Extract<ReportBody, { kind: K }>[] {
  return site.controller.reports.map(({ body }) => body).filter((body): body is Extract<ReportBody, { kind: K }> => body.kind === kind)
}
async function pass(site: TestSite, spanMs: number): Promise<void> {
  const untilMs = site.clock.monotonicMs() + spanMs
  await site.clock.until(() => site.clock.monotonicMs() >= untilMs, 'time has passed')
}
let commands = 0
const command = (site: TestSite, body: CommandBody) =>
  site.controller.send({ kind: 'command', id: `cm_${String(++commands).padStart(26, '0')}` as CommandId, bootId: null, expiresAtMs: site.clock.nowMs() + minuteMs, body })
async function settle(site: TestSite, settings: MonitoringSettings): Promise<void> {
  const { length } = bodies(site, 'answer')
  await command(site, { type: 'monitoring', settings })
  await site.clock.until(() => bodies(site, 'answer').length > length, 'the settings are answered')
}
const alarmsOf = (site: TestSite, alarmId: string) => bodies(site, 'alarm').filter((body) => body.alarmId === alarmId)
const digestOf = (settings: MonitoringSettings): string => toHex(syncCrypto.sha256(utf8(monitoringText(settings))))

describe('an agent that watches its nodes', () => {
  test('says that a filesystem fills as soon as it was seen often enough, once, and that it is free again', async () => {
    const { site, machine } = await aSite()
    machine.fullness = 97
    await site.clock.until(() => alarmsOf(site, alarmIds.filesystem).length === 2, 'both nodes say so')
    const [alarm] = alarmsOf(site, alarmIds.filesystem)
    expect(alarm).toMatchObject({ raised: true, severity: 'critical', entity: 'node=worker-0.filesystem=/var', text: '/var of worker-0 is 97 % full (level 95 %)' })
    expect(alarm!.sinceMs).toBeGreaterThan(0)
    await pass(site, 30 * minuteMs)
    expect(alarmsOf(site, alarmIds.filesystem)).toHaveLength(2)
    machine.fullness = 50
    await site.clock.until(() => alarmsOf(site, alarmIds.filesystem).length === 4, 'both nodes say so')
    expect(alarmsOf(site, alarmIds.filesystem).slice(2)).toMatchObject([{ raised: false }, { raised: false }])
  })

  test('sends a block for each quarter of an hour, with all that stands', async () => {
    const { site, machine } = await aSite()
    machine.failed = ['nginx.service']
    await pass(site, 4 * quarterMs)
    const blocks = bodies(site, 'metrics')
    expect(blocks.length).toBeGreaterThanOrEqual(3)
    expect(new Set(blocks.map(({ block }) => block.startMs)).size).toBe(blocks.length)
    const { block, alarms } = blocks[1]!
    expect(block.nodes.map((each) => each.node)).toEqual(twoNodes.map(({ name }) => name))
    expect(block.nodes[1]).toMatchObject({ memory: Array.from({ length: 15 }, () => 400), cpu: Array.from({ length: 15 }, () => 250), received: Array.from({ length: 15 }, () => 5000), filesystems: [{ path: '/var', sizeBytes: 1000 }] })
    expect(alarms).toMatchObject([{ alarmId: alarmIds.unit, entity: `node=${node}.unit=nginx.service`, severity: 'major' }])
  })

  test('sends a block compressed, and what a controller of protocol 1 knows as it is', async () => {
    const { site, machine } = await aSite()
    machine.failed = ['nginx.service']
    await pass(site, 3 * quarterMs)
    const typesOf = (kind: ReportBody['kind']): string[] => site.controller.reports.flatMap(({ body }, i) => (body.kind === kind ? [site.controller.reportTypes[i]!] : []))
    expect(typesOf('metrics').at(-1)).toBe(payloadTypes.compressedReport)
    expect([...new Set([...typesOf('hello'), ...typesOf('inventory'), ...typesOf('alarm')])]).toEqual([payloadTypes.report])
  })

  test('neither clears nor repeats an alarm when it is started anew, and says behind its hello what stands', async () => {
    const { site, machine } = await aSite()
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it is raised')
    site.crash()
    const [{ length }, { sampled }] = [bodies(site, 'hello'), machine]
    await site.start()
    await site.clock.until(() => bodies(site, 'hello').length > length && machine.sampled > sampled + 3, 'it has looked again')
    expect(bodies(site, 'standing').at(-1)!.alarms).toMatchObject([{ alarmId: alarmIds.unit, severity: 'major' }])
    expect(alarmsOf(site, alarmIds.unit)).toHaveLength(1)
    machine.failed = []
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 2, 'it is cleared')
    expect(alarmsOf(site, alarmIds.unit)[1]).toMatchObject({ raised: false })
  })

  test('whose power is cut at any call ends with the alarms that hold, and the controller knows them (F21)', async () => {
    for (const cutAt of [0, 3, 6, 9, 12, 15, 20, 25, 30]) {
      const { site, machine } = await aSite()
      site.crash()
      machine.failed = ['a.service', 'b.service']
      await site.start(cutAt)
      await site.clock.until(() => !site.power.on || alarmsOf(site, alarmIds.unit).length === 2, 'it ended, or did all')
      site.crash()
      machine.failed = ['b.service']
      await site.start()
      await pass(site, 2 * quarterMs)
      const last: Report = site.controller.reports.findLast(({ body }) => body.kind === 'metrics')!
      expect(last.body).toMatchObject({ alarms: [{ entity: `node=${node}.unit=b.service` }] })
      await site.agent!.stop()
    }
  })

  test('whose disk is full still says what is wrong, and that it cannot take other settings (F23)', async () => {
    const { site, machine } = await aSite()
    const spend = site.files.beforeCall!
    site.files.beforeCall = (name, path) => {
      spend(name, path)
      if (name === 'write' && !path.startsWith(statePaths(stateDirectory).held)) throw new FileError('ENOSPC', path)
    }
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it is raised')
    machine.failed = []
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 2, 'it is cleared')
    const settings: MonitoringSettings = { everyS: 30 }
    await command(site, { type: 'monitoring', settings })
    await site.clock.until(() => bodies(site, 'answer').length > 0, 'the settings are answered')
    expect(bodies(site, 'answer')[0]).toMatchObject({ result: 'refused' })
  })

  test('begins anew where what it kept is damaged (F22)', async () => {
    const { site, machine } = await aSite()
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it is raised')
    site.crash()
    for (const slot of [0, 1]) await site.files.write(`${statePaths(stateDirectory).monitor}.${slot}`, utf8('torn'))
    await site.start()
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 2, 'it is found again')
    expect(site.logged.map(({ event }) => event)).toContain('monitoring-begun-anew')
  })

  test('is not stopped by sensors that fail', async () => {
    const { site, machine } = await aSite()
    const good = machine.sensors.sample
    machine.sensors.sample = () => Promise.reject(new Error('it broke'))
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'the others are heard')
    machine.sensors.sample = good
    machine.fullness = 99
    await site.clock.until(() => alarmsOf(site, alarmIds.filesystem).length === 2, 'it works again')
  })
})

describe('settings from the centre', () => {
  test('are in effect at once, without a restart, and what stands names them', async () => {
    const { site, machine } = await aSite()
    expect(bodies(site, 'standing').at(-1)!.monitoring).toBeNull()
    machine.fullness = 70
    await pass(site, 10 * minuteMs)
    expect(alarmsOf(site, alarmIds.filesystem)).toEqual([])
    const settings: MonitoringSettings = { everyS: 5, filesystem: { major: 60, raiseAfter: 1, outOf: 1, clearAfter: 1 } }
    const atMs = site.clock.monotonicMs()
    await settle(site, settings)
    await site.clock.until(() => alarmsOf(site, alarmIds.filesystem).length === 2, 'the new level counts')
    expect(site.clock.monotonicMs() - atMs).toBeLessThan(5000)
    expect(bodies(site, 'answer').at(-1)).toMatchObject({ result: 'done' })
    await settle(site, { ...settings, filesystem: { ...settings.filesystem, major: 90 } })
    await site.clock.until(() => alarmsOf(site, alarmIds.filesystem).length === 4, 'the next level counts')
    await command(site, { type: 'hello' })
    const { length } = bodies(site, 'hello')
    await site.clock.until(() => bodies(site, 'hello').length > length, 'it says hello')
    expect(bodies(site, 'standing').at(-1)!.monitoring).toBe(digestOf({ ...settings, filesystem: { ...settings.filesystem, major: 90 } }))
  })

  test('outlive a restart', async () => {
    const { site } = await aSite()
    await settle(site, { everyS: 30 })
    site.crash()
    const { length } = bodies(site, 'hello')
    await site.start()
    await site.clock.until(() => bodies(site, 'hello').length > length, 'it said hello')
    expect(bodies(site, 'standing').at(-1)!.monitoring).toBe(digestOf({ everyS: 30 }))
  })

  test('that switch something off clear what it had raised', async () => {
    const { site, machine } = await aSite()
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it is raised')
    await settle(site, { units: { enabled: false } })
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 2, 'it is cleared')
    expect(alarmsOf(site, alarmIds.unit)[1]).toMatchObject({ raised: false })
  })

  test('declare checks: one that the site does not allow fails, one that answers passes', async () => {
    const { site } = await aSite()
    const common = { severity: 'minor' as const, everyS: 10, timeoutS: 5, raiseAfter: 2, clearAfter: 1 }
    await settle(site, { checks: [{ ...common, name: 'port', type: 'tcp', host: '127.0.0.1', port: 80 }, { ...common, name: 'script', type: 'command', command: 'not-there' }] })
    await site.clock.until(() => alarmsOf(site, alarmIds.check).length > 0, 'one failed')
    await pass(site, 5 * minuteMs)
    expect(alarmsOf(site, alarmIds.check)).toMatchObject([{ raised: true, entity: 'check=script', severity: 'minor' }])
  })

  test('of a wrong shape are malformed, and change nothing', async () => {
    const { site, machine } = await aSite()
    const sign = site.controller.sign({ kind: 'command', id: `cm_${'9'.repeat(26)}` as CommandId, bootId: null, expiresAtMs: site.clock.nowMs() + minuteMs, body: { type: 'monitoring', settings: { everyS: 0 } } } as never)
    await expect(sign).rejects.toThrow()
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it goes on as before')
  })

  test('give a directory its budget on the nodes that have it', async () => {
    const { site, machine } = await aSite()
    let sizeBytes = 990
    machine.sensors.directoryBytes = async ({ name }) => (name === twoNodes[0]!.name ? ok({ sizeBytes, complete: true }) : null)
    await settle(site, { everyS: 5, directory: { budgets: { '/var/spool': 1000 }, raiseAfter: 1, outOf: 1, clearAfter: 1 } })
    await site.clock.until(() => alarmsOf(site, alarmIds.directory).length === 1, 'it is over its budget')
    expect(alarmsOf(site, alarmIds.directory)).toMatchObject([{ entity: 'node=worker-0.directory=/var/spool', severity: 'critical' }])
    sizeBytes = 1
    await site.clock.until(() => alarmsOf(site, alarmIds.directory).length === 2, 'it is free again')
  })
})

test('what a hello says stands is of the moment it is made, however long the digest of the settings takes', async () => {
  let hashed = (): void => undefined
  const slow: Crypto = { ...syncCrypto, sha256: (bytes) => new Promise((resolve) => (hashed = () => resolve(syncCrypto.sha256(bytes)))) }
  const clock = new VirtualClock(0)
  const monitor = createMonitor({
    host: { clock, random: { fraction: () => 0 }, sensors: quietSensors } as unknown as Host, crypto: slow, log: () => undefined, nodes: [], state: { current: { ...emptyState, settings: {} } } as Store<MonitorState>,
    report: async () => undefined, show: async () => undefined, certificates: async () => [], components: async () => [], check: async () => null, life: new AbortController().signal,
  })
  const said = monitor.standing()
  const alarm = { alarmId: alarmIds.duplicateIdentity, entity: 'north', severity: 'critical' as const, text: 'twice' }
  await monitor.raise(alarm)
  hashed()
  expect((await said).alarms).toMatchObject([alarm])
})

describe('the components that run', () => {
  const release = { version: '1.0.0', components: [{ name: 'app', config: { driver: 'files' as const, target: '/opt/app' }, files: { 'version.txt': '1' }, health: [{ type: 'file' as const, name: 'ready', path: '/ready' }] }] }
  const checks = async (site: TestSite) => {
    for (const { root } of twoNodes) await site.files.write(`${root}/ready`, utf8('yes'))
    const published = await site.controller.publish(release)
    const desired = await site.desired('one', published)
    await site.controller.send({ kind: 'grant', desired: desired.position, deployment: deployment('one'), attempt: 1, startByMs: site.clock.nowMs() + minuteMs, maxDurationMs: 60 * minuteMs, bootId: site.agent!.status().bootId })
    await site.clock.until(() => site.agent!.status().attempt?.outcome === 'succeeded', 'it is deployed')
  }

  test('are checked on after their deployment, and one that fails is critical', async () => {
    const { site } = await aSite()
    await checks(site)
    await pass(site, 20 * minuteMs)
    expect(alarmsOf(site, alarmIds.component)).toEqual([])
    await site.files.remove(`${twoNodes[0]!.root}/ready`)
    await site.clock.until(() => alarmsOf(site, alarmIds.component).length > 0, 'it is raised')
    expect(alarmsOf(site, alarmIds.component)).toMatchObject([{ raised: true, severity: 'critical', entity: 'node=worker-0.component=app' }])
    await site.files.write(`${twoNodes[0]!.root}/ready`, utf8('yes'))
    await site.clock.until(() => alarmsOf(site, alarmIds.component).length === 2, 'it is cleared')
    await site.files.remove(`${twoNodes[1]!.root}/opt/app`)
    await site.clock.until(() => alarmsOf(site, alarmIds.component).length === 3, 'it is raised')
    expect(alarmsOf(site, alarmIds.component)[2]).toMatchObject({ raised: true, severity: 'major', entity: 'node=controller-0.component=app' })
  })
})

describe('the files of what was installed', () => {
  const releaseOf = (version: string, more: { health?: HealthCheck[] } = {}) =>
    ({ version, components: [{ name: 'app', config: { driver: 'files' as const, target: '/opt/app' }, files: { 'bin/run': `run ${version}`, 'etc/app.conf': 'color=blue' }, ...more }] })
  const [first, second] = twoNodes.map(({ root }) => root)

  async function deploy(site: TestSite, name: string, draft: ReturnType<typeof releaseOf>, outcome = 'succeeded'): Promise<void> {
    const desired = await site.desired(name, await site.controller.publish(draft))
    await site.controller.send({ kind: 'grant', desired: desired.position, deployment: deployment(name), attempt: 1, startByMs: site.clock.nowMs() + minuteMs, maxDurationMs: 60 * minuteMs, bootId: site.agent!.status().bootId })
    await site.clock.until(() => site.agent!.status().attempt?.deployment === deployment(name) && site.agent!.status().attempt?.outcome === outcome, 'it is over')
  }
  const ofFiles = (site: TestSite) => alarmsOf(site, alarmIds.component).filter(({ entity }) => entity.endsWith('.files')).map(({ raised, severity, entity, text }) => ({ raised, severity, entity, text }))
  const standing = (site: TestSite): string[] => bodies(site, 'metrics').at(-1)!.alarms.map(({ entity }) => entity)

  test('are watched on every node: one that goes is told with its path, and so is that it is back', async () => {
    const { site } = await aSite()
    await deploy(site, 'one', releaseOf('1.0.0'))
    await pass(site, 20 * minuteMs)
    expect(alarmsOf(site, alarmIds.component)).toEqual([])
    await site.files.remove(`${second}/opt/app/etc/app.conf`)
    await site.clock.until(() => ofFiles(site).length === 1, 'it is raised')
    expect(ofFiles(site)).toEqual([{ raised: true, severity: 'major', entity: 'node=controller-0.component=app.files', text: 'app of controller-0: 1 of its files is not as installed: etc/app.conf (not there)' }])
    await site.files.write(`${second}/opt/app/etc/app.conf`, utf8('color=blue'), 0o644)
    await site.clock.until(() => ofFiles(site).length === 2, 'it is cleared')
    expect(ofFiles(site)[1]).toMatchObject({ raised: false })
    expect(alarmsOf(site, alarmIds.component)).toHaveLength(2)
  })

  test('that are wrong stay an alarm over a restart of the agent, neither cleared nor raised anew', async () => {
    const { site } = await aSite()
    await deploy(site, 'one', releaseOf('1.0.0'))
    await site.files.write(`${first}/opt/app/etc/app.conf`, utf8('color=glue'), 0o644)
    await site.clock.until(() => ofFiles(site).length === 1, 'it is raised')
    site.crash()
    await site.files.write(`${first}/opt/app/etc/app.conf`, utf8('color=glue'), 0o644)
    await site.start()
    await pass(site, 2 * quarterMs)
    expect(ofFiles(site)).toHaveLength(1)
    expect(standing(site)).toEqual(['node=worker-0.component=app.files'])
  })

  test('that are wrong are right again with another release', async () => {
    const { site } = await aSite()
    await deploy(site, 'one', releaseOf('1.0.0'))
    await site.files.write(`${first}/opt/app/bin/run`, utf8('something else'), 0o755)
    await site.clock.until(() => ofFiles(site).length === 1, 'it is raised')
    await deploy(site, 'two', releaseOf('1.1.0'))
    await site.clock.until(() => ofFiles(site).length === 2, 'it is cleared')
    expect(ofFiles(site)[1]).toMatchObject({ raised: false, entity: 'node=worker-0.component=app.files' })
    await pass(site, 2 * quarterMs)
    expect(ofFiles(site)).toHaveLength(2)
  })

  test('are those of the release before after a rollback, and nothing is said of them while an attempt is under way', async () => {
    const { site } = await aSite()
    await deploy(site, 'one', releaseOf('1.0.0'))
    await site.files.remove(`${first}/opt/app/bin/run`)
    const failing = deploy(site, 'two', releaseOf('1.1.0', { health: [{ type: 'file', name: 'never', path: '/never', timeout: 1000, interval: 60_000, retries: 30 }] }), 'rolled-back')
    await site.clock.until(() => site.agent!.status().attempt?.deployment === deployment('two'), 'it begins')
    await pass(site, 20 * minuteMs)
    expect(site.agent!.status().attempt?.outcome).toBeNull()
    expect(ofFiles(site)).toEqual([])
    await failing
    await site.clock.until(() => ofFiles(site).length === 1, 'it is raised')
    expect(ofFiles(site)[0]!.text).toContain('bin/run (not there)')
  })

  test('may change where the settings say so', async () => {
    const { site } = await aSite()
    await deploy(site, 'one', releaseOf('1.0.0'))
    await settle(site, { components: { ignore: ['app/etc'] } })
    await site.files.remove(`${first}/opt/app/etc/app.conf`)
    await pass(site, 30 * minuteMs)
    expect(ofFiles(site)).toEqual([])
    await settle(site, { components: { ignore: ['other', 'app/et'] } })
    await site.clock.until(() => ofFiles(site).length === 1, 'it is raised')
  })
})

describe('a controller that speaks protocol 1', () => {
  test('is told nothing that it does not know, whatever happens at the site', async () => {
    const { site, machine } = await aSite(null)
    machine.failed = ['nginx.service']
    await pass(site, 3 * quarterMs)
    await command(site, { type: 'live', everyS: 5, forS: 60 })
    await pass(site, 2 * minuteMs)
    expect(alarmsOf(site, alarmIds.unit)).toHaveLength(1)
    expect(Object.keys(alarmsOf(site, alarmIds.unit)[0]!).sort()).toEqual(['alarmId', 'entity', 'kind', 'raised', 'severity', 'text'])
    expect([...bodies(site, 'standing'), ...bodies(site, 'metrics'), ...bodies(site, 'live')]).toEqual([])
    expect(site.agent!.status().reportsWaiting).toBe(0)
  })

  test('and is replaced by one of protocol 2 is told all that stands, without asking', async () => {
    const { site, machine } = await aSite(null)
    machine.failed = ['nginx.service']
    await site.clock.until(() => alarmsOf(site, alarmIds.unit).length === 1, 'it is raised')
    site.controller.protocol = 2
    await site.clock.until(() => bodies(site, 'standing').length > 0, 'it says what stands')
    expect(bodies(site, 'standing').at(-1)!.alarms).toMatchObject([{ alarmId: alarmIds.unit }])
  })

  test('is remembered over a restart, and so is one of protocol 2', async () => {
    const { site } = await aSite()
    await site.clock.until(() => bodies(site, 'standing').length > 0, 'it knows')
    site.crash()
    const { length } = bodies(site, 'standing')
    site.controller.requests.length = 0
    await site.start()
    await site.clock.until(() => bodies(site, 'standing').length > length, 'it said what stands')
    expect(site.controller.requests).toEqual([])
  })
})

describe('a live view', () => {
  test('gets a sample every so often until its time is over, or goes on when it is asked for again', async () => {
    const { site } = await aSite()
    await command(site, { type: 'live', everyS: 5, forS: 20 })
    await pass(site, 5 * minuteMs)
    const { length } = bodies(site, 'live')
    expect(length).toBe(4)
    expect(bodies(site, 'live')[1]!.sample.nodes[0]).toMatchObject({ node: 'worker-0', cpu: [250], memory: [400] })
    await command(site, { type: 'live', everyS: 5, forS: 20 })
    await pass(site, 10_000)
    await command(site, { type: 'live', everyS: 5, forS: 20 })
    await pass(site, 5 * minuteMs)
    expect(bodies(site, 'live').length - length).toBe(6)
  })

  test('never has samples kept on disk, nor any of before the connection', async () => {
    const { site } = await aSite()
    const { length } = bodies(site, 'live')
    await command(site, { type: 'live', everyS: 1, forS: 600 })
    await site.clock.until(() => bodies(site, 'live').length > length, 'it looks')
    site.controller.reachable = false
    site.controller.dropConnections()
    const written: string[] = []
    site.onDiskCall = (path) => void written.push(path)
    await pass(site, 20_000)
    expect(written.filter((path) => path.startsWith(statePaths(stateDirectory).spool))).toEqual([])
    const backMs = site.clock.nowMs()
    site.controller.reachable = true
    const before = bodies(site, 'live').length
    await site.clock.until(() => bodies(site, 'live').length > before, 'it looks again')
    expect(bodies(site, 'live')[before]!.sample.atMs).toBeGreaterThanOrEqual(backMs)
  })
})

describe('an agent that is cut off for long', () => {
  test('keeps what stands and the newest blocks, and says first what is wrong', async () => {
    const { site, machine } = await aSite()
    site.controller.reachable = false
    site.controller.dropConnections()
    machine.failed = ['nginx.service']
    for (let quarters = 0; quarters < limits.metricSlots + 20; quarters++) {
      const { sampled } = machine
      site.clock.pass(quarterMs)
      await site.clock.until(() => machine.sampled > sampled, 'it looked')
    }
    expect(site.agent!.status().reportsWaiting).toBeLessThanOrEqual(limits.metricSlots + 2)
    const { length } = site.controller.reports
    site.controller.reachable = true
    await site.clock.until(() => site.agent!.status().reportsWaiting === 0, 'all is said')
    const said = site.controller.reports.slice(length).map(({ body }) => body.kind)
    expect(said.slice(0, 2).sort()).toEqual(['alarm', 'hello'])
    expect(said.filter((kind) => kind === 'metrics').length).toBeGreaterThanOrEqual(limits.metricSlots - 1)
  })
})
