import { describe, expect, test } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { Directive } from '../../protocol/directives.ts'
import { parseAgentSignature, signAgentRequest, verifyAgentRequest } from '../../protocol/http/agent-signature.ts'
import { comparePositions, DeploymentId, FleetId, SiteId, splitDeploymentId } from '../../protocol/ids.ts'
import { Report } from '../../protocol/reports.ts'
import { controllerSubscriptions, parseUpTopic, rollCallTopic, sitePublications, siteSubscriptions, siteTopic } from '../../protocol/topics.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { newKey } from './keys.ts'

const fleet = FleetId.parse('practice')
const site = SiteId.parse('north-1')
const id = (prefix: string) => `${prefix}_${'0'.repeat(26)}`
const deployment = `${id('ro')}:north-1`
const bootId = 'ab'.repeat(16)
const release = { id: 'shop@1.0.0', digest: 'cd'.repeat(32) }
const head = { v: 1, fleet, site, incarnation: 1, position: { epoch: 1, generation: 2 }, issuedAtMs: 1, trustVersion: 1, requestId: 'request-1' }

const directives: Record<string, Record<string, unknown>> = {
  desired: { ...head, kind: 'desired', release, deployment, staging: 'ahead', back: false },
  'desired that leaves it': { ...head, kind: 'desired', release: null, deployment: null, staging: 'with-start', back: false },
  grant: { ...head, kind: 'grant', desired: { epoch: 1, generation: 1 }, deployment, attempt: 1, startByMs: 2, maxDurationMs: 3, bootId },
  abort: { ...head, kind: 'command', id: id('cm'), bootId: null, expiresAtMs: 5, body: { type: 'abort', deployment, attempt: 1, mode: 'revert' } },
  hello: { ...head, kind: 'command', id: id('cm'), bootId, expiresAtMs: 5, body: { type: 'hello' } },
  monitoring: { ...head, kind: 'command', id: id('cm'), bootId: null, expiresAtMs: 5, body: { type: 'monitoring', settings: { everyS: 30, checks: [{ name: 'till', type: 'tcp', host: 'localhost', port: 80 }] } } },
  live: { ...head, kind: 'command', id: id('cm'), bootId: null, expiresAtMs: 5, body: { type: 'live', everyS: 5, forS: 60 } },
}

describe('directives', () => {
  test.each(Object.entries(directives))('a %s is read', (_, directive) => {
    expect(Directive.safeParse(directive).success).toBe(true)
  })

  test.each(Object.entries(directives))('a %s with a field nobody knows is refused: it may change what is meant', (_, directive) => {
    expect(Directive.safeParse({ ...directive, also: 1 }).success).toBe(false)
    expect(Directive.safeParse({ ...directive, position: { epoch: 1, generation: 2, minor: 3 } }).success).toBe(false)
  })

  test.each(Object.entries(directives))('a %s without any one of its fields is refused', (_, directive) => {
    for (const field of Object.keys(directive)) expect(Directive.safeParse({ ...directive, [field]: undefined }).success, field).toBe(false)
  })

  test.each([
    ['a kind nobody knows', { ...directives.hello, kind: 'shell' }],
    ['a command out of the closed list', { ...directives.hello, body: { type: 'run', program: '/bin/sh' } }],
    ['an abort that sends nothing', { ...directives.abort, body: { type: 'abort', deployment, attempt: 1, mode: 'finish' } }],
    ['settings with a field nobody knows', { ...directives.monitoring, body: { type: 'monitoring', settings: { every: 30 } } }],
    ['a check that brings its own program', { ...directives.monitoring, body: { type: 'monitoring', settings: { checks: [{ name: 'till', type: 'command', path: '/bin/sh' }] } } }],
    ['two checks of one name', { ...directives.monitoring, body: { type: 'monitoring', settings: { checks: [80, 81].map((port) => ({ name: 'till', type: 'tcp', host: 'localhost', port })) } } }],
    ['a live view for a day', { ...directives.live, body: { type: 'live', everyS: 5, forS: 86_400 } }],
    ['attempt nought', { ...directives.grant, attempt: 0 }],
    ['another version of the protocol', { ...directives.grant, v: 2 }],
    ['a time before 1970', { ...directives.grant, startByMs: -1 }],
    ['a number that is none (F19)', { ...directives.grant, maxDurationMs: Number.NaN }],
    ['a number beyond exact whole ones (F15)', { ...directives.grant, position: { epoch: 1, generation: 2 ** 53 } }],
  ])('%s is refused', (_, directive) => {
    expect(Directive.safeParse(directive).success).toBe(false)
  })

  test('positions are ordered by epoch first, then by generation (I5)', () => {
    const ordered = [[0, 0], [0, 9], [1, 0], [1, 1], [2, 0]].map(([epoch, generation]) => ({ epoch: epoch!, generation: generation! }))
    ordered.forEach((a, i) => ordered.forEach((b, j) => expect(Math.sign(comparePositions(a, b))).toBe(Math.sign(i - j))))
  })
})

const attempt = { deployment, attempt: 1, phase: 'ended', outcome: 'failed', fault: { code: 'x', detail: 'y' }, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: 'request-1' }
const node = { name: 'n1', personality: 'worker', operational: 'enabled', release, mixed: false }
const usage = { node: 'n1', cpu: [1, null], memory: [1000, 0], memoryBytes: null, filesystems: [{ path: '/', sizeBytes: 1, used: [null, 5] }], received: [1, 2], sent: [null, null] }
const standing = { alarmId: '100.003', entity: 'node=n1.filesystem=/', severity: 'major', text: 'full', sinceMs: 5 }
const bodies: Record<string, Record<string, unknown>> = {
  hello: {
    kind: 'hello', connectionId: bootId, agentVersion: '1', protocol: { min: 1, max: 1 }, architecture: 'x86_64', held: { desired: null, newest: null }, trustVersion: 1, clockTrusted: true,
    running: release, previous: null, staged: null, attempt, nodes: [node],
  },
  progress: { kind: 'progress', attempt, running: release, previous: null, nodes: [node] },
  staged: { kind: 'staged', release, fault: null },
  inventory: { kind: 'inventory', facts: { kernel: '6.1' } },
  rejected: { kind: 'rejected', reason: 'stale', directive: 'grant', position: null, held: { epoch: 1, generation: 1 }, deployment, attempt: 1, detail: '' },
  answer: { kind: 'answer', command: id('cm'), result: 'done', detail: '' },
  alarm: { kind: 'alarm', alarmId: '100.1', entity: 'disk', raised: true, severity: 'major', text: 'full' },
  standing: { kind: 'standing', alarms: [standing], monitoring: 'ab'.repeat(32) },
  metrics: { kind: 'metrics', block: { startMs: 900_000, stepS: 60, nodes: [usage] }, alarms: [standing] },
  live: { kind: 'live', sample: { atMs: 1, nodes: [usage] } },
  gone: { kind: 'gone', connectionId: bootId },
}
const report = (body: unknown, changes: Record<string, unknown> = {}) => ({ v: 1, fleet, site, incarnation: 1, bootId, seq: 1, sentAtMs: 1, body, ...changes })

/** The same with a field more in every object of it, but for a record of facts, where every name is one. */
const withMore = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(withMore)
  : typeof value !== 'object' || value === null ? value
  : { ...Object.fromEntries(Object.entries(value).map(([key, part]) => [key, key === 'facts' ? part : withMore(part)])), alsoNew: 1 }

describe('reports', () => {
  test.each(Object.entries(bodies))('a %s is read', (_, body) => {
    expect(Report.safeParse(report(body)).success).toBe(true)
  })

  test.each(Object.entries(bodies))('a %s without one of its fields is refused; one that nobody knows is left out, at every depth', (_, body) => {
    expect(Report.parse(report(withMore(body), { also: 1 }))).toEqual(Report.parse(report(body)))
    for (const field of Object.keys(body)) expect(Report.safeParse(report({ ...body, [field]: undefined })).success, field).toBe(false)
  })

  test('a hello never says more than controllers of protocol 1 take', () => {
    expect(Object.keys(Report.parse(report(withMore(bodies.hello))).body).sort()).toEqual([
      'agentVersion', 'architecture', 'attempt', 'clockTrusted', 'connectionId', 'held', 'kind', 'nodes', 'previous', 'protocol', 'running', 'staged', 'trustVersion',
    ])
  })

  test.each([
    ['a sequence that does not start at one', report(bodies.gone, { seq: 0 })],
    ['a site that could be a wildcard (F39)', report(bodies.gone, { site: '+' })],
    ['more nodes than a site may have', report({ ...bodies.progress, nodes: Array.from({ length: 65 }, (_, i) => ({ ...node, name: `n${i}` })) })],
    ['more facts than anybody reads (F44)', report({ kind: 'inventory', facts: Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`f${i}`, 'x'])) })],
    ['a fact longer than its limit', report({ kind: 'inventory', facts: { a: 'x'.repeat(501) } })],
    ['a block that does not begin with a quarter of an hour', report({ ...bodies.metrics, block: { startMs: 1, stepS: 60, nodes: [] } })],
    ['a share above all there is', report({ ...bodies.metrics, block: { startMs: 0, stepS: 60, nodes: [{ ...usage, cpu: [1001] }] } })],
    ['a series of what is no number (F19)', report({ ...bodies.metrics, block: { startMs: 0, stepS: 60, nodes: [{ ...usage, cpu: [Number.NaN] }] } })],
    ['a node with a thousand filesystems', report({ ...bodies.metrics, block: { startMs: 0, stepS: 60, nodes: [{ ...usage, filesystems: Array.from({ length: 1000 }, (_, i) => ({ path: `/${i}`, sizeBytes: 1, used: [] })) }] } })],
    ['more alarms than a site may have', report({ ...bodies.metrics, alarms: Array.from({ length: 257 }, (_, i) => ({ ...standing, entity: String(i) })) })],
    ['a text of a megabyte', report({ ...bodies.alarm, text: 'x'.repeat(2 ** 20) })],
    ['a severity nobody knows', report({ ...bodies.alarm, severity: 'apocalyptic' })],
    ['an outcome nobody knows', report({ ...bodies.progress, attempt: { ...attempt, outcome: 'fine' } })],
  ])('%s is refused', (_, value) => {
    expect(Report.safeParse(value).success).toBe(false)
  })
})

describe('topics', () => {
  test('a site may hear what is for it, and speak only for itself (F40)', () => {
    expect(siteSubscriptions(fleet, site)).toEqual(['desired', 'grant', 'command'].map((topic) => `murmur/v1/practice/sites/north-1/${topic}`).concat('murmur/v1/practice/roll-call'))
    expect(sitePublications(fleet, site)).toEqual(['murmur/v1/practice/sites/north-1/report', 'murmur/v1/practice/sites/north-1/presence'])
    expect(controllerSubscriptions(fleet)).toEqual(['murmur/v1/practice/sites/+/report', 'murmur/v1/practice/sites/+/presence'])
    expect(rollCallTopic(fleet)).toBe('murmur/v1/practice/roll-call')
  })

  test('what a site publishes is understood, and nothing else', () => {
    for (const topic of ['report', 'presence'] as const) expect(parseUpTopic(fleet, siteTopic(fleet, site, topic))).toEqual({ site, topic })
  })

  test.each([
    'murmur/v1/practice/sites/north-1/desired', 'murmur/v1/practice/sites/north-1', 'murmur/v1/practice/sites/north-1/report/x', 'murmur/v1/elsewhere/sites/north-1/report',
    'murmur/v2/practice/sites/north-1/report', 'murmur/v1/practice/sites/+/report', 'murmur/v1/practice/sites/#', 'murmur/v1/practice/sites//report', 'murmur/v1/practice/sites/NORTH/report',
    '$SYS/broker', '', 'murmur/v1/practice/sites/a\0b/report', `murmur/v1/practice/sites/${'a'.repeat(64)}/report`,
  ])('%j is not one of ours (F39)', (topic) => {
    expect(parseUpTopic(fleet, topic)).toBeNull()
  })

  test.each(['+', '#', '$SYS', 'a/b', 'a b', 'a\0', 'ä', 'A', '-a', 'a-', '', 'a'.repeat(64), 'a.b'])('%j is no name of a site (F39)', (name) => {
    expect(SiteId.safeParse(name).success).toBe(false)
  })

  test('a deployment is named by its rollout and its site', () => {
    expect(splitDeploymentId(DeploymentId.parse(deployment))).toEqual({ rollout: id('ro'), site: 'north-1' })
    for (const text of ['north-1', `${id('ro')}:`, `${id('ro')}:a:b`, `${id('cm')}:a`]) expect(DeploymentId.safeParse(text).success, text).toBe(false)
  })
})

describe("an agent's signature of its request", () => {
  const who = { site, incarnation: 1, timeMs: 1000, nonce: 'ab'.repeat(16) }
  const body = utf8('{}')

  test('is of one key, method, path, body, time and nonce, and of no other', async () => {
    const [key, other] = [await newKey('a'), await newKey('b')]
    const signed = parseAgentSignature(await signAgentRequest(syncCrypto, key.privateKey, 'post', '/v1/x?y=1', body, who))!
    const verify = (changes: { key?: Uint8Array; method?: string; path?: string; body?: Uint8Array; signature?: Partial<typeof signed> }) =>
      verifyAgentRequest(syncCrypto, changes.key ?? key.publicKey, changes.method ?? 'POST', changes.path ?? '/v1/x?y=1', changes.body ?? body, { ...signed, ...changes.signature })
    expect(await verify({})).toBe(true)
    const changed = [
      { key: other.publicKey }, { method: 'GET' }, { path: '/v1/x?y=2' }, { body: utf8('{ }') }, { signature: { timeMs: 1001 } }, { signature: { nonce: 'cd'.repeat(16) } },
      { signature: { incarnation: 2 } }, { signature: { site: SiteId.parse('north-2') } },
    ]
    for (const change of changed) expect(await verify(change), JSON.stringify(change)).toBe(false)
  })

  test.each(['', 'Bearer x', 'Murmur-Agent site=a', `Murmur-Agent site=+,incarnation=1,time=1,nonce=${'a'.repeat(32)},sig=${'A'.repeat(86)}==`, `Murmur-Agent site=a-,incarnation=1,time=1,nonce=${'a'.repeat(32)},sig=${'A'.repeat(86)}==`])('%j is none', (header) => {
    expect(parseAgentSignature(header)).toBeNull()
  })
})
