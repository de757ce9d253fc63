import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { sealed } from '../../edge-agent/report/seal.ts'
import { gunzip } from '../../functions/adapters/node/gunzip.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { fromBase64, fromUtf8, toBase64, utf8 } from '../../protocol/bytes.ts'
import { deriveReportKey, openReport, payloadTypes, reportKeyId, sealReport, type Envelope } from '../../protocol/envelope.ts'
import { SiteId, type BootId, type NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { Report, type NodeReport, type ReportBody, type StandingAlarm } from '../../protocol/reports.ts'
import { arbitraryBlock, blockMs, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { fleet } from './keys.ts'

const site = SiteId.parse('north-1')
const keyid = reportKeyId(fleet, site, 1)
const key = await deriveReportKey(nodeCrypto, new Uint8Array(32).fill(5), fleet, site, 1)
const bootId = '1'.repeat(32) as BootId
const day = 20_000 * 86_400_000

const seal = async (body: ReportBody): Promise<Envelope> => JSON.parse(fromUtf8(await sealed(nodeCrypto, { fleet, site, incarnation: 1 }, key, day, { seq: 1, bootId, body }))) as Envelope
const open = (envelope: unknown, inflate = gunzip) => openReport(nodeCrypto, inflate, envelope, () => key)
const never = (): never => {
  throw new Error('it was decompressed')
}

const metrics = (nodes: number): ReportBody => ({ kind: 'metrics', block: steadyBlock(day, ...Array.from({ length: nodes }, (_, i) => steadyNode(`node-${i}`))), alarms: [] })
const nodeReports = Array.from({ length: limits.nodesPerSiteMax }, (_, i): NodeReport => ({ name: `node-${i}` as NodeName, personality: 'worker', operational: 'enabled', release: null, mixed: false }))
const longHello: ReportBody = {
  kind: 'hello', connectionId: 'c'.repeat(32) as never, agentVersion: '1', protocol: { min: 1, max: 2 }, architecture: 'x86_64', held: { desired: null, newest: null }, trustVersion: 1, clockTrusted: true,
  running: null, previous: null, staged: null, attempt: null, nodes: nodeReports,
}

/** A report of any kind that may be compressed, short or long. */
function arbitraryBody(next: () => number): ReportBody {
  const text = (most: number): string => Array.from({ length: Math.floor(next() * most) }, () => ['a', ' ', '"', '\u{1f4be}', 'é', '\\', '7'][Math.floor(next() * 7)]).join('').slice(0, most).toWellFormed()
  const alarms = Array.from({ length: Math.floor(next() * 30) }, (_, i): StandingAlarm => ({ alarmId: '100.001', entity: `${i} ${text(100)}`, severity: 'minor', text: text(400), sinceMs: Math.floor(next() * day) }))
  const block = arbitraryBlock(day + Math.floor(next() * 90) * blockMs, next)
  if (next() < 0.4) return { kind: 'metrics', block, alarms }
  return next() < 0.5 ? { kind: 'standing', alarms, monitoring: null } : { kind: 'live', sample: { atMs: day, nodes: block.nodes } }
}

describe('a report that an agent seals', () => {
  test.each(Array.from({ length: 40 }, (_, seed) => seed))('opens to what it was, compressed or not (seed %i)', async (seed) => {
    const body = Report.shape.body.parse(arbitraryBody(seededFractions(seed)))
    const envelope = await seal(body)
    const opened = await open(envelope)
    expect(opened.ok && JSON.parse(fromUtf8(opened.value.payload))).toEqual({ v: 1, fleet, site, incarnation: 1, bootId, seq: 1, sentAtMs: day, body })
    expect(opened.ok && opened.value.keyid).toBe(keyid)
    const plainBytes = opened.ok ? opened.value.payload.length : 0
    expect(envelope.payloadType).toBe(plainBytes >= limits.compressedFromBytes ? payloadTypes.compressedReport : payloadTypes.report)
    expect(fromBase64(envelope.payload).length).toBeLessThanOrEqual(plainBytes)
  })

  test('is compressed only if it is of a kind that protocol 2 brought: a controller of protocol 1 could not read it', async () => {
    const inventory: ReportBody = { kind: 'inventory', facts: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`fact-${i}`, 'x'.repeat(100)])) }
    const alarm: ReportBody = { kind: 'alarm', alarmId: '100.001', entity: 'x'.repeat(200), raised: true, severity: 'minor', text: 'x'.repeat(500) }
    for (const body of [longHello, inventory, alarm]) expect((await seal(body)).payloadType).toBe(payloadTypes.report)
    for (const body of [metrics(5), { kind: 'live', sample: { atMs: day, nodes: nodeReports.map(({ name }) => steadyNode(name)) } } satisfies ReportBody]) expect((await seal(body)).payloadType).toBe(payloadTypes.compressedReport)
  })

  test('of five nodes is less than half as long as it would be', async () => {
    const envelope = await seal(metrics(5))
    const opened = await open(envelope)
    expect(envelope.payload.length).toBeLessThan(toBase64(opened.ok ? opened.value.payload : new Uint8Array(0)).length / 2)
  })

  test('stays as it is where compressing it would make it no shorter', async () => {
    const payload = utf8('x'.repeat(limits.compressedFromBytes))
    expect(await sealReport(nodeCrypto, payload, keyid, key, (bytes) => bytes.slice())).toMatchObject({ payloadType: payloadTypes.report, payload: toBase64(payload) })
    expect(await sealReport(nodeCrypto, payload.slice(1), keyid, key, never)).toMatchObject({ payloadType: payloadTypes.report })
  })
})

describe('a compressed report', () => {
  const sealBytes = (bytes: Uint8Array): Promise<Envelope> => sealReport(nodeCrypto, new Uint8Array(limits.reportBytesMax), keyid, key, () => bytes)

  test('is decompressed only after its seal was found right (F1, F72)', async () => {
    const envelope = await seal(metrics(5))
    expect(envelope.payloadType).toBe(payloadTypes.compressedReport)
    const bytes = fromBase64(envelope.payload)
    bytes[20]! ^= 1
    expect(await open({ ...envelope, payload: toBase64(bytes) }, never)).toEqual({ ok: false, refusal: { reason: 'bad-signature', keyid } })
    expect(await openReport(nodeCrypto, never, envelope, () => null)).toMatchObject({ ok: false, refusal: { reason: 'unknown-key' } })
  })

  test('does not pass for one that is not, nor the other way round: the seal covers which it is (F2)', async () => {
    const plain = await seal(longHello)
    const compressed = await seal(metrics(5))
    expect(await open({ ...plain, payloadType: payloadTypes.compressedReport }, never)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    expect(await open({ ...compressed, payloadType: payloadTypes.report }, never)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    expect(await open({ ...compressed, payloadType: payloadTypes.directive }, never)).toMatchObject({ ok: false, refusal: { reason: 'wrong-type', actual: payloadTypes.directive } })
  })

  test.each([
    ['was cut', gzipSync(utf8('x'.repeat(5000))).subarray(0, -9)],
    ['was garbled', gzipSync(utf8('x'.repeat(5000))).map((byte, i) => (i > 12 ? byte ^ 0x5a : byte))],
    ['was never compressed', utf8('{"v":1}')],
    ['is empty', new Uint8Array(0)],
    ['has something behind it', new Uint8Array([...gzipSync(utf8('{}')), 1, 2, 3])],
  ])('that %s is malformed', async (_, bytes) => {
    expect(await open(await sealBytes(bytes))).toMatchObject({ ok: false, refusal: { reason: 'malformed' } })
  })

  test('may be as long as its limit and no byte longer, whatever it was before (F72)', async () => {
    const whole = await open(await sealBytes(gzipSync(new Uint8Array(limits.reportBytesMax))))
    expect(whole.ok && whole.value.payload.length).toBe(limits.reportBytesMax)
    const halves = new Uint8Array([...gzipSync(new Uint8Array(limits.reportBytesMax)), ...gzipSync(new Uint8Array(1))])
    for (const bytes of [gzipSync(new Uint8Array(limits.reportBytesMax + 1)), gzipSync(new Uint8Array(50_000_000)), halves]) {
      expect(await open(await sealBytes(bytes))).toEqual({ ok: false, refusal: { reason: 'over-limit' } })
    }
  })
})
