import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import type { Node } from '../../edge-agent/node/node.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { machineFiles } from '../support/machine-files.ts'
import { needs } from '../support/needs.ts'
import { createPrivateAuthority, type Certified } from '../support/private-authority.ts'

const here: Node = { name: 'controller-0' as NodeName, personality: 'controller', root: '/', hasAgent: true }
const there: Node = { name: 'worker-0' as NodeName, personality: 'worker', root: '/', hasAgent: false }

const nodeObject = (name: string, ready: string, message: string) => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  status: {
    capacity: { cpu: '4', memory: '16384Mi', pods: '110' },
    conditions: [{ type: 'MemoryPressure', status: 'False', reason: 'KubeletHasSufficientMemory', message: 'kubelet has sufficient memory available' }, { type: 'Ready', status: ready, reason: 'KubeletReady', message }],
  },
})
const podObject = (name: string, phase: string, ready: string, waiting?: string) => ({
  metadata: { name, namespace: 'kube-system', uid: name },
  spec: { nodeName: 'controller-0' },
  status: { phase, conditions: [{ type: 'Ready', status: ready, reason: 'ContainersNotReady', message: 'containers with unready status: [main]' }], containerStatuses: [{ name: 'main', ready: ready === 'True', restartCount: 7, state: waiting === undefined ? { running: {} } : { waiting: { reason: waiting, message: 'back-off 5m0s' } } }] },
})
/** As a kubelet of 1.30 answers. */
const summary = {
  node: {
    nodeName: 'worker-0', startTime: '2026-01-01T00:00:00Z',
    cpu: { time: '2026-03-01T12:00:00Z', usageNanoCores: 250_000_000, usageCoreNanoSeconds: 123_456_789_000_000_000 },
    memory: { time: '2026-03-01T12:00:00Z', availableBytes: 12_000, usageBytes: 9000, workingSetBytes: 4000, rssBytes: 3000, pageFaults: 1, majorPageFaults: 0 },
    network: { time: '2026-03-01T12:00:05Z', name: 'eth0', rxBytes: 10, rxErrors: 0, txBytes: 20, txErrors: 0, interfaces: [{ name: 'eth0', rxBytes: 10, txBytes: 20 }, { name: 'cni0', rxBytes: 1, txBytes: 2 }] },
    fs: { time: '2026-03-01T12:00:00Z', availableBytes: 600, capacityBytes: 1000, usedBytes: 350, inodesFree: 90, inodes: 100, inodesUsed: 10 },
    runtime: { imageFs: { time: '2026-03-01T12:00:00Z', availableBytes: 5, capacityBytes: 50, usedBytes: 40, inodesFree: 1, inodes: 7, inodesUsed: 6 } },
  },
  pods: [{ podRef: { name: 'a', namespace: 'x' } }, { podRef: { name: 'b', namespace: 'x' } }],
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void
const json = (value: unknown, status = 200): Answer => (_, response) => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

needs('openssl').describe('Kubernetes', () => {
  let directory: string
  let authority: ReturnType<typeof createPrivateAuthority>
  let client: Certified
  let own: Certified
  let server: Server
  let url: string
  /** What the API answers, by path and query; whatever else is asked is not found. */
  let answers: Record<string, Answer>
  let seen: { path: string; client: string | undefined; authorization: string | undefined }[]

  const keys = mkdtempSync(join(tmpdir(), 'murmuration-kubernetes-'))
  beforeAll(() => {
    authority = createPrivateAuthority(keys)
    client = authority.certify('agent')
    own = authority.certify('server', ['localhost'])
  })
  afterAll(() => rmSync(keys, { recursive: true, force: true }))
  beforeEach(async () => {
    directory = machineFiles({})
    ;[answers, seen] = [{}, []]
    server = createServer({ cert: own.certificate, key: own.key, ca: authority.certificate, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      seen.push({ path: request.url!, client: (request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined, authorization: request.headers.authorization })
      const answer = answers[request.url!] ?? json({ kind: 'Status', status: 'Failure', message: 'not found here', code: 404 }, 404)
      answer(request, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    url = `https://localhost:${(server.address() as AddressInfo).port}`
  })

  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const withCertificate = () => ({ 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) })

  /** A kubeconfig in the words of kubectl, at a usual place or another. */
  function writeKubeconfig(user: object, cluster: object = {}, place = 'etc/kubernetes/admin.conf'): string {
    const path = join(directory, place)
    mkdirSync(join(path, '..'), { recursive: true })
    const entry = { server: url, 'certificate-authority-data': base64(authority.certificate), ...cluster }
    const lines = (fields: object): string => Object.entries(fields).filter(([, value]) => value !== undefined).map(([key, value]) => `\n    ${key}: ${JSON.stringify(value)}`).join('')
    writeFileSync(path, `apiVersion: v1\nkind: Config\ncurrent-context: main\npreferences: {}\nclusters:\n- name: site\n  cluster:${lines(entry)}\ncontexts:\n- name: other\n  context:\n    cluster: nowhere\n    user: nobody\n- name: main\n  context:\n    cluster: site\n    user: admin\nusers:\n- name: admin\n  user:${Object.keys(user).length === 0 ? ' {}' : lines(user)}\n`)
    return path
  }
  const sensors = (kubeconfig: string | null = null) => createNodeSensors({ root: directory, kubeconfig })
  const why = async (kubeconfig: string | null = null): Promise<string> => {
    const told = await sensors(kubeconfig).kubernetes(['kube-system'])
    return told === null ? 'none' : told.ok ? 'ok' : told.refusal
  }
  function serveCluster(): void {
    answers['/api/v1/nodes?limit=256'] = json({ kind: 'NodeList', metadata: {}, items: [nodeObject('controller-0', 'True', 'kubelet is posting ready status'), nodeObject('worker-0', 'Unknown', 'Kubelet stopped posting node status.')] })
    answers['/api/v1/namespaces/kube-system/pods?limit=500'] = json({ kind: 'PodList', metadata: { continue: 'go on' }, items: [podObject('dns', 'Running', 'True'), podObject('proxy', 'Running', 'False', 'CrashLoopBackOff')] })
    answers['/api/v1/namespaces/kube-system/pods?limit=500&continue=go%20on'] = json({ kind: 'PodList', metadata: {}, items: [podObject('setup', 'Succeeded', 'False'), { metadata: { name: 'lost', namespace: 'kube-system' }, status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource' } }] })
  }

  test('that has no kubeconfig on this machine is not asked', async () => {
    expect(await why()).toBe('none')
    expect(await why('/etc/not-there.conf')).toBe('/etc/not-there.conf is not there')
  })

  test('tells nodes and pods, page by page, to a client with a certificate', async () => {
    writeKubeconfig(withCertificate())
    serveCluster()
    expect(await sensors().kubernetes(['kube-system', 'kube-system'])).toEqual({ ok: true, value: {
      nodes: [{ name: 'controller-0', ready: true, reason: '' }, { name: 'worker-0', ready: false, reason: 'Kubelet stopped posting node status.' }],
      pods: [
        { namespace: 'kube-system', name: 'dns', phase: 'Running', ready: true, reason: '' },
        { namespace: 'kube-system', name: 'proxy', phase: 'Running', ready: false, reason: 'CrashLoopBackOff' },
        { namespace: 'kube-system', name: 'setup', phase: 'Succeeded', ready: true, reason: '' },
        { namespace: 'kube-system', name: 'lost', phase: 'Failed', ready: false, reason: 'Evicted' },
      ],
    } })
    expect(new Set(seen.map((each) => each.client))).toEqual(new Set(['agent']))
  })

  test('is found where k3s keeps its kubeconfig, with a token and files beside it', async () => {
    const path = writeKubeconfig({ tokenFile: 'token' }, { 'certificate-authority-data': undefined, 'certificate-authority': 'authority.pem' }, 'etc/rancher/k3s/k3s.yaml')
    writeFileSync(join(path, '../authority.pem'), authority.certificate)
    writeFileSync(join(path, '../token'), 'first\n')
    serveCluster()
    const these = sensors()
    expect(await these.kubernetes([])).toMatchObject({ ok: true })
    writeFileSync(join(path, '../token'), 'second\n')
    await these.kubernetes([])
    expect(seen.map(({ authorization }) => authorization)).toEqual(['Bearer first', 'Bearer second'])
  })

  test('is asked by the new kubeconfig once that has changed', async () => {
    const path = writeKubeconfig({ token: 'old' })
    serveCluster()
    const these = sensors()
    await these.kubernetes([])
    writeKubeconfig({ token: 'new' })
    utimesSync(path, new Date(), new Date(Date.now() + 5000))
    await these.kubernetes([])
    rmSync(path)
    expect(await these.kubernetes([])).toBeNull()
    expect(seen.map(({ authorization }) => authorization)).toEqual(['Bearer old', 'Bearer new'])
  })

  test.each<[string, object, object, RegExp]>([
    ['wants a program to be run', { exec: { command: '/bin/sh', args: ['-c', 'touch /tmp/x'] } }, {}, /program to be run/],
    ['wants the server not to be checked', {}, { 'insecure-skip-tls-verify': true }, /not to be checked/],
    ['wants a proxy', {}, { 'proxy-url': 'http://10.0.0.1' }, /wants a proxy/],
    ['is without TLS', {}, { server: 'http://localhost:8080' }, /not a kubeconfig.*https/],
    ['names a file that is not there', { 'client-certificate': '/not/there.pem' }, {}, /cannot be read/],
    ['has a key that is none', { 'client-certificate-data': 'AAAA', 'client-key-data': 'AAAA' }, {}, /./],
  ])('is not asked by a kubeconfig that %s', async (_, user, cluster, expected) => {
    writeKubeconfig(user, cluster)
    serveCluster()
    expect(await why()).toMatch(expected)
    expect(seen).toEqual([])
  })

  test.each([['nothing', ''], ['no YAML', ': : {'], ['a list', '[1, 2]'], ['a context that leads nowhere', 'current-context: x\ncontexts: []\nclusters: []\nusers: []\n']])('is not asked by a kubeconfig that is %s', async (_, content) => {
    writeFileSync(join(directory, 'config'), content)
    expect(await why('/config')).toMatch(/not a kubeconfig|leads nowhere/)
  })

  test('that shows a certificate of another authority is told nothing', async () => {
    mkdirSync(join(directory, 'others'))
    writeKubeconfig({ token: 'secret' }, { 'certificate-authority-data': base64(createPrivateAuthority(join(directory, 'others')).certificate) })
    serveCluster()
    expect(await why()).toMatch(/certificate/)
    expect(seen).toEqual([])
  })

  test.each<[string, Answer, RegExp]>([
    ['refuses', json({ kind: 'Status', message: 'nodes is forbidden: User "x" cannot list resource' }, 403), /status 403 nodes is forbidden/],
    ['answers with something that is not JSON', (_, response) => void response.end('<html>'), /not JSON/],
    ['answers with another thing', json({ items: 'many' }), /something else/],
    ['leads elsewhere', (_, response) => void response.writeHead(302, { location: 'https://localhost/' }).end(), /status 302/],
    ['breaks off', (_, response) => void response.write('{', () => response.destroy()), /./],
    ['answers without an end', (_, response) => {
      const piece = ' '.repeat(256 * 1024)
      const more = (): void => void (response.destroyed || response.write(piece, more))
      more()
    }, /more than 8388608 bytes/],
  ])('that %s is not known', async (_, answer, expected) => {
    writeKubeconfig(withCertificate())
    answers['/api/v1/nodes?limit=256'] = answer
    expect(await why()).toMatch(expected)
  })

  test('that does not listen is not reached', async () => {
    writeKubeconfig(withCertificate())
    await new Promise((resolve) => server.close(resolve))
    expect(await why()).toMatch(/ECONNREFUSED/)
  })

  test('tells by its kubelets what nodes without an agent use, and how many pods run here', async () => {
    writeKubeconfig(withCertificate())
    answers['/api/v1/nodes/worker-0'] = json(nodeObject('worker-0', 'True', ''))
    answers['/api/v1/nodes/worker-0/proxy/stats/summary'] = json(summary)
    answers['/api/v1/nodes/controller-0/proxy/stats/summary?only_cpu_and_memory=true'] = json({ node: { nodeName: 'controller-0' }, pods: [{}, {}, {}] })
    const [first, second] = await sensors().sample([here, there], { kubernetes: true })
    expect(first).toMatchObject({ node: 'controller-0', pods: 3 })
    expect(second).toEqual({
      node: 'worker-0', countersAtMs: Date.parse('2026-03-01T12:00:05Z'), pods: 2,
      cpu: { busyMs: 123_456_789_000, totalMs: Date.parse('2026-03-01T12:00:00Z') * 4 },
      memory: { totalBytes: 16_000, availableBytes: 12_000 },
      filesystems: [
        { path: '/nodefs', device: 'nodefs', sizeBytes: 1000, usedBytes: 400, availableBytes: 600, inodes: { total: 100, available: 90 } },
        { path: '/imagefs', device: 'imagefs', sizeBytes: 50, usedBytes: 45, availableBytes: 5, inodes: { total: 7, available: 1 } },
      ],
      unread: [],
      interfaces: [{ name: 'eth0', up: null, hasDevice: true, receivedBytes: 10, sentBytes: 20 }, { name: 'cni0', up: null, hasDevice: false, receivedBytes: 1, sentBytes: 2 }],
    })
  })

  test('is not asked about usage where that is not wanted', async () => {
    writeKubeconfig(withCertificate())
    expect((await sensors().sample([here, there], { kubernetes: false })).map(({ pods }) => pods)).toEqual([null, null])
    expect(seen).toEqual([])
  })

  test.each<[string, unknown]>([
    ['nothing', {}], ['numbers that are none', { node: { cpu: { time: 'soon', usageCoreNanoSeconds: 'many' }, memory: { availableBytes: -1, workingSetBytes: 1e300 }, fs: { capacityBytes: 'x' }, network: { interfaces: [{ name: 'x'.repeat(1000) }] } }, pods: 7 }],
    ['a node that is null', { node: null }],
  ])('whose kubelet says %s leaves the node unknown', async (_, said) => {
    writeKubeconfig(withCertificate())
    answers['/api/v1/nodes/worker-0'] = json({ status: { capacity: { cpu: '0' } } })
    answers['/api/v1/nodes/worker-0/proxy/stats/summary'] = json(said)
    expect(await sensors().sample([there], { kubernetes: true })).toEqual([{ node: 'worker-0', countersAtMs: 0, cpu: null, memory: null, filesystems: [], unread: [], interfaces: [], pods: null }])
  })
})
