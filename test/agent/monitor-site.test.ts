import { describe, expect, test } from 'vitest'
import type { NodeSample } from '../../edge-agent/host/sensors.ts'
import { conditionsOf, judge, type Looked } from '../../edge-agent/monitor/judge.ts'
import { judgeNodes, seeInterfaces } from '../../edge-agent/monitor/judge-nodes.ts'
import { judgeCertificates, judgeCheck, judgeClock, judgeComponents, judgeDirectories, judgeDisks, judgeKubernetes, judgeUnits } from '../../edge-agent/monitor/judge-site.ts'
import { measureUsage } from '../../edge-agent/monitor/measure-usage.ts'
import { watchOf } from '../../edge-agent/monitor/watch.ts'
import { alarmCatalogue } from '../../protocol/alarms.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import { ok, refuse } from '../../protocol/result.ts'
import { StandingAlarm } from '../../protocol/reports.ts'

/** What stands once it was seen often enough, as `id severity entity: text`; all of it as the catalogue and the schema have it. */
function raisedBy(...looks: Looked[]): string[] {
  const source = [...looks.at(-1)!.keys()][0]?.split(' ')[0] ?? 'none'
  const judgement = Array.from({ length: 10 }, () => looks).flat().reduce((before, looked) => judge(before, source, looked), new Map() as ReturnType<typeof judge>)
  return conditionsOf(judgement).map(({ alarmId, entity, severity, text }) => {
    expect(StandingAlarm.safeParse({ alarmId, entity, severity, text, sinceMs: 0 }).success).toBe(true)
    expect(alarmCatalogue.get(alarmId)!.severities).toContain(severity)
    return `${alarmId} ${severity} ${entity}: ${text}`
  })
}
const defaults = watchOf(null)
const watch = (settings: MonitoringSettings) => watchOf(settings)
const node = 'n1' as NodeName
const sample = (more: Partial<NodeSample>): NodeSample => ({ node, countersAtMs: 1000, cpu: null, memory: null, filesystems: [], unread: [], interfaces: [], pods: null, ...more })
const filesystem = (path: string, used: number, inodes: NodeSample['filesystems'][number]['inodes'] = null) => ({ path, device: 'sda1', sizeBytes: 100, usedBytes: used, availableBytes: 100 - used, inodes })
const nodes = (before: NodeSample | undefined, after: NodeSample, settings = defaults, seen = {}) => judgeNodes([after], [measureUsage(before, after, settings)], settings, seen)

describe('what the samples of nodes say', () => {
  test('processors, memory and filesystems against their levels', () => {
    const before = sample({ countersAtMs: 0, cpu: { busyMs: 0, totalMs: 0 } })
    const after = sample({ cpu: { busyMs: 96, totalMs: 100 }, memory: { totalBytes: 1000, availableBytes: 100 }, filesystems: [filesystem('/', 10), filesystem('/var', 96), filesystem('/srv', 88)] })
    expect(raisedBy(nodes(before, after))).toEqual([
      '100.001 critical node=n1: the processors of n1 are 96 % busy (level 95 %)',
      '100.002 major node=n1: memory of n1 is 90 % in use (level 85 %)',
      '100.003 critical node=n1.filesystem=/var: /var of n1 is 96 % full (level 95 %)',
      '100.003 major node=n1.filesystem=/srv: /srv of n1 is 88 % full (level 85 %)',
    ])
  })

  test('levels of a mount point of its own, and mount points to be left out', () => {
    const after = sample({ filesystems: [filesystem('/var', 90), filesystem('/srv', 90), filesystem('/scratch', 99)] })
    expect(raisedBy(nodes(undefined, after, watch({ filesystem: { paths: { '/var': { major: 95, critical: 98 } }, ignore: ['/scratch'] } })))).toEqual(['100.003 major node=n1.filesystem=/srv: /srv of n1 is 90 % full (level 85 %)'])
  })

  test('a filesystem that has room for bytes and none for files', () => {
    expect(raisedBy(nodes(undefined, sample({ filesystems: [filesystem('/var', 10, { total: 1000, available: 10 })] })))).toEqual(['100.003 critical node=n1.filesystem=/var: /var of n1 has 99 % of its inodes in use (level 95 %)'])
  })

  test('a filesystem that cannot be told about keeps its alarm, and is one itself once that was so often enough', () => {
    const full = nodes(undefined, sample({ filesystems: [filesystem('/', 10), filesystem('/srv', 99)] }))
    const hung = nodes(undefined, sample({ filesystems: [filesystem('/', 10)], unread: [{ path: '/srv', why: 'no-answer' }] }))
    const broken = nodes(undefined, sample({ unread: [{ path: '/srv', why: 'EIO' }] }))
    const free = nodes(undefined, sample({ filesystems: [filesystem('/', 10), filesystem('/srv', 20)] }))
    const gone = nodes(undefined, sample({ filesystems: [filesystem('/', 10)] }))
    const standing = (...looks: Looked[]): string[] => conditionsOf(looks.reduce((before, looked) => judge(before, 'nodes', looked), new Map() as ReturnType<typeof judge>)).map(({ alarmId, entity }) => `${alarmId} ${entity}`).sort()
    const [fullAlarm, unreadAlarm] = ['100.003 node=n1.filesystem=/srv', '100.006 node=n1.filesystem=/srv']
    expect(standing(full, full, hung)).toEqual([fullAlarm])
    expect(standing(full, full, hung, hung, hung, broken)).toEqual([fullAlarm, unreadAlarm])
    expect(standing(full, full, hung, hung, free)).toEqual([fullAlarm, unreadAlarm])
    expect(standing(full, full, hung, hung, free, free)).toEqual([])
    expect(standing(full, full, hung, hung, gone, gone)).toEqual([])
    expect(raisedBy(hung)).toEqual(['100.006 major node=n1.filesystem=/srv: /srv of n1 does not answer: its disk hangs'])
    expect(raisedBy(broken)).toEqual(['100.006 major node=n1.filesystem=/srv: /srv of n1 cannot be read: EIO'])
    const unasked = nodes(undefined, sample({ unread: [{ path: '/srv', why: 'not-asked' }] }))
    expect(raisedBy(unasked)).toEqual([])
    expect(standing(full, full, hung, hung, unasked, unasked)).toEqual([fullAlarm, unreadAlarm])
    const ignoring = watch({ filesystem: { ignore: ['/srv'] } })
    expect(raisedBy(nodes(undefined, sample({ unread: [{ path: '/srv', why: 'EIO' }] }), ignoring))).toEqual([])
  })

  test('interfaces that were once up, or that are named', () => {
    const nic = (name: string, up: boolean | null, hasDevice = true) => ({ name, up, hasDevice, receivedBytes: null, sentBytes: null })
    const seen = seeInterfaces({}, [sample({ interfaces: [nic('eth0', true), nic('eth1', true), nic('eth2', false), nic('cni0', true, false)] })])
    expect(seen).toEqual({ n1: ['eth0', 'eth1'] })
    expect(seeInterfaces(seen, [sample({ interfaces: [nic('eth0', false)] })])).toBe(seen)
    const now = sample({ interfaces: [nic('eth0', false), nic('eth2', false)] })
    expect(raisedBy(nodes(undefined, now, defaults, seen))).toEqual(['110.001 major node=n1.interface=eth0: eth0 of n1 has no link', '110.001 major node=n1.interface=eth1: eth1 of n1 is not there any more'])
    expect(raisedBy(nodes(undefined, now, watch({ interfaces: { watch: ['eth2'], severity: 'critical' } }), seen))).toEqual(['110.001 critical node=n1.interface=eth2: eth2 of n1 has no link'])
    expect(raisedBy(nodes(undefined, now, watch({ interfaces: { ignore: ['eth0', 'eth1'] } }), seen))).toEqual([])
    expect(raisedBy(nodes(undefined, sample({ interfaces: [nic('eth0', null), nic('eth1', true)] }), defaults, seen))).toEqual([])
  })

  test('nothing about what cannot be told, and nothing new about what could be told before', () => {
    const full = nodes(undefined, sample({ filesystems: [filesystem('/var', 99)], memory: { totalBytes: 100, availableBytes: 1 } }))
    const silent = nodes(undefined, sample({}))
    expect(raisedBy(silent)).toEqual([])
    expect(raisedBy(full, full, silent)).toHaveLength(2)
  })
})

describe('what a machine and its site say', () => {
  test('failed units', () => {
    const failed = ok([{ name: 'nginx.service', description: 'web server' }, { name: 'logrotate.service', description: '' }])
    expect(raisedBy(judgeUnits('n1', failed, watch({ units: { ignore: ['logrotate.service'], severity: 'minor' } })))).toEqual(['120.001 minor node=n1.unit=nginx.service: nginx.service of n1 has failed: web server'])
    expect(raisedBy(judgeUnits('n1', refuse('no bus'), defaults))).toEqual([])
  })

  test('disks, each by the worst that is known of it', () => {
    const findings = [{ device: 'sda1', wrong: 'errors' as const, detail: '3 errors' }, { device: 'sda1', wrong: 'read-only' as const, detail: '' }, { device: 'md0', wrong: 'degraded' as const, detail: '1 of 2' }]
    expect(raisedBy(judgeDisks('n1', findings, defaults))).toEqual(['100.005 critical node=n1.disk=sda1: sda1 of n1: read-only', '100.005 major node=n1.disk=md0: md0 of n1: degraded, 1 of 2'])
    expect(raisedBy(judgeDisks('n1', findings, watch({ disks: { ignore: ['sda1', 'md0'] } })))).toEqual([])
  })

  test('the clock against servers, or against what the host says', () => {
    expect(raisedBy(judgeClock('n1', ok(-2500), true, defaults))).toEqual(['110.002 major node=n1.clock: the clock of n1 is 2500 ms ahead (level 1000 ms)'])
    expect(raisedBy(judgeClock('n1', ok(20), false, defaults))).toEqual([])
    expect(raisedBy(judgeClock('n1', refuse('no answer'), true, defaults))).toEqual(['110.002 minor node=n1.clock: no time source answers n1: no answer'])
    expect(raisedBy(judgeClock('n1', null, false, defaults))).toEqual(['110.002 minor node=n1.clock: nothing keeps the clock of n1 right'])
    expect(raisedBy(judgeClock('n1', null, true, defaults))).toEqual([])
    expect(raisedBy(judgeClock('n1', null, null, defaults))).toEqual([])
    expect(raisedBy(judgeClock('n1', null, false, watch({ clock: { minor: null, major: null, critical: null } })))).toEqual([])
  })

  test('directories against their budgets', () => {
    const found = (sizeBytes: number, complete = true) => judgeDirectories([{ node: 'n1', path: '/var/spool', budgetBytes: 1000, found: ok({ sizeBytes, complete }) }], defaults)
    expect(raisedBy(found(970))).toEqual(['100.004 critical node=n1.directory=/var/spool: /var/spool of n1 holds 97 % of its 1000 bytes (level 95 %)'])
    expect(raisedBy(found(2000, false))).toEqual(['100.004 critical node=n1.directory=/var/spool: /var/spool of n1 holds at least 200 % of its 1000 bytes (level 95 %)'])
    expect(raisedBy(found(970), found(10, false))).toHaveLength(1)
    expect(raisedBy(judgeDirectories([{ node: 'n1', path: '/var/spool', budgetBytes: 1000, found: refuse('no right to read it') }], defaults))).toEqual([])
  })

  test('certificates by the days that are left, the agent\'s own only once it should have been renewed', () => {
    const dayMs = 86_400_000
    const found = (days: number, renewAtMs: number | null = null) => judgeCertificates([{ name: '/etc/tls.pem', found: ok({ expiresAtMs: 1000 * dayMs + days * dayMs, subject: 'CN=x' }), renewAtMs }], 1000 * dayMs, defaults)
    expect(raisedBy(found(31))).toEqual([])
    expect(raisedBy(found(20))).toEqual(['130.001 minor certificate=/etc/tls.pem: /etc/tls.pem (CN=x) expires in 20 days'])
    expect(raisedBy(found(14))).toEqual(['130.001 major certificate=/etc/tls.pem: /etc/tls.pem (CN=x) expires in 14 days'])
    expect(raisedBy(found(-2))).toEqual(['130.001 critical certificate=/etc/tls.pem: /etc/tls.pem (CN=x) expired 2 days ago'])
    expect(raisedBy(found(2, 999.5 * dayMs))).toEqual([])
    expect(raisedBy(found(2, 998 * dayMs))).toHaveLength(1)
    expect(raisedBy(judgeCertificates([{ name: '/x', found: refuse('no such file'), renewAtMs: null }], 0, defaults))).toEqual(['130.001 major certificate=/x: /x cannot be read: no such file'])
  })

  test('Kubernetes, its nodes and its system pods', () => {
    const nodesOf = (ready: boolean[]) => ready.map((each, i) => ({ name: `k${i}`, ready: each, reason: each ? '' : 'KubeletNotReady' }))
    const pod = (name: string, ready: boolean) => ({ namespace: 'kube-system', name, phase: ready ? 'Running' : 'Pending', ready, reason: ready ? '' : 'ImagePullBackOff' })
    expect(raisedBy(judgeKubernetes(null, defaults))).toEqual([])
    expect(raisedBy(judgeKubernetes(refuse('connection refused'), defaults))).toEqual(['140.001 critical kubernetes: Kubernetes does not answer: connection refused'])
    expect(raisedBy(judgeKubernetes(ok({ nodes: nodesOf([true, true, false]), pods: [pod('dns', true), pod('proxy', false)] }), defaults))).toEqual([
      '140.002 major node=k2: k2 is not ready: KubeletNotReady', '140.003 major pod=kube-system/proxy: kube-system/proxy is Pending, not ready: ImagePullBackOff',
    ])
    expect(raisedBy(judgeKubernetes(ok({ nodes: nodesOf([true, false]), pods: [] }), defaults))).toEqual(['140.002 critical node=k1: k1 is not ready: KubeletNotReady'])
  })

  test('declared checks and components', () => {
    expect(raisedBy(judgeCheck('till', 'answered with status 500', 'minor', { raiseAfter: 3, clearAfter: 2 }))).toEqual(['120.002 minor check=till: till: answered with status 500'])
    expect(raisedBy(judgeCheck('till', null, 'minor', { raiseAfter: 3, clearAfter: 2 }))).toEqual([])
    expect(raisedBy(judgeComponents([{ node: 'n1', component: 'till', finding: { text: 'no answer', severity: 'critical' } }, { node: 'n2', component: 'till', finding: null }], defaults))).toEqual(['120.003 critical node=n1.component=till: till of n1: no answer'])
  })

  test('names and texts out of all bounds stay within them, and names stay apart', () => {
    const name = (end: string) => `${'界\u001b[31m<script>'.repeat(500)}${end}`
    const raised = raisedBy(judgeUnits('n1', ok([{ name: name('a'), description: name('') }, { name: name('b'), description: '\ud800' }]), defaults))
    expect(raised).toHaveLength(2)
    for (const each of raised) expect(each.length).toBeLessThan(limits.alarmEntityMax + limits.reasonLengthMax)
  })
})
