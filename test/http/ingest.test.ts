import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../db/database-fault.ts'
import { dispatchDirectives } from '../../functions/directive/dispatch.ts'
import { makeProbe, readProbe } from '../../functions/ingest/probe.ts'
import { fromUtf8, toBase64, utf8 } from '../../protocol/bytes.ts'
import { deriveReportKey, payloadTypes, reportKeyId, sealReport, type Envelope } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import { roles } from '../../protocol/states.ts'
import { probeTopic, siteTopic } from '../../protocol/topics.ts'
import { SiteId } from '../../protocol/ids.ts'
import { fleet, startController, type Controller } from '../support/controller.ts'
import { blockMs, blockStart, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { addRelease, enrolSites, startRollout } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'

let controller: Controller
let north: PracticeSite
let south: PracticeSite
beforeEach(async () => {
  controller = await startController()
  const sites = await enrolSites(controller, [{ id: 'north', offline: true }, { id: 'south', offline: true }])
  north = sites.get('north')!
  south = sites.get('south')!
})
afterEach(() => controller.close())

type Wire = { topic: string; payload: string }
const wire = async (message: Promise<{ topic: string; payload: Uint8Array }>): Promise<Wire> => {
  const { topic, payload } = await message
  return { topic, payload: toBase64(payload) }
}
const hello = (site: PracticeSite): Promise<Wire> => wire(site.message(site.helloBody()))
const post = (body: unknown, as: (typeof roles)[number] | null = 'ingest') => controller.call('ingestWebhook', { as, body: body as never })
const presence = async (site: PracticeSite): Promise<string> => (await controller.call('getSite', { params: { site: site.id } })).body.presence
const everything = async (): Promise<unknown> => (await controller.db.write([{ sql: 'SELECT * FROM site ORDER BY id', args: [] }, { sql: 'SELECT * FROM setting ORDER BY key', args: [] }])).map(({ rows }) => JSON.stringify(rows))

describe('a webhook of the broker', () => {
  test('may bring one report or several, with whatever else the broker adds', async () => {
    expect(await post({ ...(await hello(north)), clientid: 'north', qos: 1, timestamp: 0 })).toMatchObject({ status: 200, body: { accepted: 1, refused: [] } })
    expect(await post([await hello(south)])).toMatchObject({ status: 200, body: { accepted: 1, refused: [] } })
    expect([await presence(north), await presence(south)]).toEqual(['online', 'online'])
  })

  test('without a token, with a wrong one or one of another role, changes nothing', async () => {
    const body = await hello(north)
    const before = await everything()
    expect(await post(body, null)).toMatchObject({ status: 401 })
    expect(await controller.call('ingestWebhook', { authorization: `Bearer mm_${'f'.repeat(40)}`, body })).toMatchObject({ status: 401 })
    for (const role of roles.filter((each) => each !== 'ingest' && each !== 'admin')) expect(await post(body, role)).toMatchObject({ status: 403 })
    expect(await everything()).toEqual(before)
  })

  test("under somebody else's topic, of another fleet, or forged, is refused by itself (D3)", async () => {
    const mine = await hello(north)
    const forged = { ...mine, payload: toBase64(utf8(fromUtf8(Buffer.from(mine.payload, 'base64')).replace(/"sig":"../, '"sig":"AA'))) }
    const before = await everything()
    const { status, body } = await post([
      { ...mine, topic: siteTopic(fleet, south.id, 'report') }, { ...mine, topic: mine.topic.replace(fleet, 'another') }, { ...mine, topic: 'weather/today' }, { ...mine, topic: siteTopic(fleet, north.id, 'desired') }, forged,
    ])
    expect({ status, accepted: body.accepted, refused: body.refused.map(({ index, reason }: { index: number; reason: string }) => [index, reason]) }).toEqual({
      status: 200, accepted: 0,
      refused: [[0, 'about another site than its topic'], [1, 'not a topic of this fleet'], [2, 'not a topic of this fleet'], [3, 'not a topic of this fleet'], [4, 'bad-signature']],
    })
    expect(await everything()).toEqual(before)
  })

  test('with one payload that is not base64 does not lose the others; with none that is, it is told so', async () => {
    const [first, last] = [await hello(north), await hello(south)]
    expect(await post([first, { ...first, payload: '{"payloadType":"plain"}' }, { topic: 'x', payload: toBase64(utf8('x')) }, last])).toMatchObject({
      status: 200, body: { accepted: 2, refused: [{ index: 1, reason: expect.stringContaining('not base64') }, { index: 2, reason: 'not a topic of this fleet' }] },
    })
    expect([await presence(north), await presence(south)]).toEqual(['online', 'online'])
    expect(await post({ ...first, payload: 'not base64!' })).toMatchObject({ status: 400, body: { reason: 'payload', detail: expect.stringContaining('let the rule encode it'), errors: [{ path: '0' }] } })
    expect(await post({ ...first, payload: 'A'.repeat(limits.envelopeBytesMax + 4) })).toMatchObject({ status: 400, body: { detail: expect.stringContaining('over its limit') } })
    expect(await post([first, { ...last, topic: 'x'.repeat(501) }, { topic: 7, payload: first.payload }, { topic: first.topic, payload: null }])).toMatchObject({
      status: 200, body: { accepted: 1, refused: [{ index: 1, reason: 'over its limit' }, { index: 2, reason: 'it has no topic' }, { index: 3, reason: expect.stringContaining('not base64') }] },
    })
    for (const body of [{}, [], { topic: first.topic }, [{ payload: first.payload }], 'text', Array.from({ length: limits.ingestBatchMax + 1 }, () => first)]) expect(await post(body)).toMatchObject({ status: 400 })
  })

  test('with a text that was cut through a character is taken, and can be read again', async () => {
    const cut = 'the disk \u{1f4be}'.slice(0, -1)
    const alarm = wire(north.message({ kind: 'alarm', alarmId: '100.103', entity: 'disk', raised: true, severity: 'major', text: cut }))
    const refusal = wire(north.message({ kind: 'rejected', reason: 'wrong-site', directive: 'grant', position: null, held: null, deployment: null, attempt: null, detail: '\u{1f4be}'.repeat(250) }))
    expect(await post([await alarm, await refusal])).toMatchObject({ status: 200, body: { accepted: 2, refused: [] } })
    const { items } = (await controller.call('listAlarms', { query: { all: 'true' } })).body
    expect(items.map(({ text }) => text)).toEqual(expect.arrayContaining(['the disk \ufffd', expect.stringMatching(/^a grant was refused as wrong-site: .*\ufffd$/u)]))
    expect(items.every(({ text }) => text.isWellFormed())).toBe(true)
  })

  test('with numbers that no honest site has is refused, and keeps no other site from its directives (F15)', async () => {
    const { id } = await addRelease(controller, '1.0.0')
    await post([await hello(north), await hello(south)])
    await startRollout(controller, { name: 'one', target: { release: id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: 2 } })
    const most = Number.MAX_SAFE_INTEGER
    for (const held of [{ epoch: 1, generation: most }, { epoch: most, generation: 0 }]) {
      south.held = { desired: null, newest: held }
      expect(await post(await hello(south))).toMatchObject({ status: 200, body: { accepted: 0, refused: [{ reason: expect.stringContaining('malformed') }] } })
    }
    // a restore begins above the epochs of all sites, so none is taken to its end; what else it says is believed
    south.held = { desired: null, newest: { epoch: limits.epochMax, generation: limits.generationMax } }
    expect(await post(await hello(south))).toMatchObject({ body: { accepted: 1 } })
    expect(await controller.db.orm.all('SELECT max(epoch) AS epoch FROM site')).toEqual([{ epoch: 1 }])
    expect((await controller.call('listSites', {})).body.items).toHaveLength(2)
    await dispatchDirectives(controller.context())
    expect(await north.takeGrant()).not.toBeNull()
  })

  test('that delivers twice, or out of order, changes nothing more (I8, I10)', async () => {
    north.connection = 1
    const early = await hello(north)
    const gone = await wire(north.message({ kind: 'gone', connectionId: north.connectionId }))
    north.connection = 2
    const late = await hello(north)
    await post([late, late])
    expect(await presence(north)).toBe('online')
    const after = await everything()
    for (const body of [late, early, gone, [gone, early, late, early]]) expect(await post(body)).toMatchObject({ status: 200, body: { refused: [] } })
    expect(await everything()).toEqual(after)
  })

  test('never speaks of a gap: what it adds is not looked at', async () => {
    await post({ ...(await hello(north)), gap: 'reconnected' })
    await post({ ...(await hello(south)), gap: 'started' })
    expect([await presence(north), await presence(south)]).toEqual(['online', 'online'])
  })

  test('is answered 503 while the database does not take it, which is what brokers try again', async () => {
    const body = await hello(north)
    const { db } = controller.deps
    for (const error of [new DatabaseFault('database-quota', new Error('BLOCKED')), new Error('nobody foresaw this')]) {
      controller.deps.db = { ...db, write: () => Promise.reject(error) }
      expect(await post(body)).toMatchObject({ status: 503, body: { retry: true } })
    }
    controller.deps.db = db
    expect(await post(body)).toMatchObject({ status: 200, body: { accepted: 1 } })
  })
})

describe('a compressed report', () => {
  const block = (blocksAgo: number, nodes = 5) => steadyBlock(blockStart(controller.clock.nowMs()) - blocksAgo * blockMs, ...Array.from({ length: nodes }, (_, i) => steadyNode(`node-${i}`)))
  const typeOf = ({ payload }: Wire): string => (JSON.parse(Buffer.from(payload, 'base64').toString()) as Envelope).payloadType
  const blocksKept = async (site: PracticeSite): Promise<number> => Number((await controller.db.orm.all<{ n: number }>(`SELECT count(*) AS n FROM metric_block WHERE site_id = '${site.id}'`))[0]!.n)
  /** Truthfully sealed by the site, whatever it holds. */
  async function sealedBy(site: PracticeSite, bytes: Uint8Array): Promise<Wire> {
    const { crypto, keys } = controller.deps
    const key = await deriveReportKey(crypto, keys.ingestSecret(), fleet, site.id, 1)
    const envelope = await sealReport(crypto, new Uint8Array(limits.reportBytesMax), reportKeyId(fleet, site.id, 1), key, () => bytes)
    return { topic: siteTopic(fleet, site.id, 'report'), payload: toBase64(utf8(JSON.stringify(envelope))) }
  }

  test('is taken through the webhook and from a bridge, and says what it would have said', async () => {
    const [first, second] = [await wire(north.message({ kind: 'metrics', block: block(1), alarms: [] })), await wire(south.message({ kind: 'metrics', block: block(1), alarms: [] }))]
    expect([typeOf(first), typeOf(await hello(north))]).toEqual([payloadTypes.compressedReport, payloadTypes.report])
    expect(await post(first)).toMatchObject({ status: 200, body: { accepted: 1, refused: [] } })
    expect(await controller.call('ingest', { as: 'ingest', body: { messages: [second] } })).toMatchObject({ status: 200, body: { accepted: 1, refused: [] } })
    for (const { id } of [north, south]) {
      const { nodes } = (await controller.call('getSiteUsage', { params: { site: id } })).body
      expect(nodes.map(({ node }) => node)).toEqual(['node-0', 'node-1', 'node-2', 'node-3', 'node-4'])
    }
  })

  test('that is too long, cut, garbled or about another site is refused by itself, and costs no other its place (F72)', async () => {
    const good = gzipSync(JSON.stringify({ v: 1 }))
    const batch = [
      await hello(north), await sealedBy(south, gzipSync(new Uint8Array(50_000_000))), await sealedBy(south, good.subarray(0, -4)), await sealedBy(south, new Uint8Array(3000).fill(7)), await sealedBy(south, good),
      { ...(await wire(south.message({ kind: 'metrics', block: block(1), alarms: [] }))), topic: siteTopic(fleet, north.id, 'report') }, await wire(north.message({ kind: 'metrics', block: block(1), alarms: [] })),
    ]
    const { status, body } = await post(batch)
    expect({ status, accepted: body.accepted, refused: body.refused.map(({ index, reason }: { index: number; reason: string }) => [index, reason]) }).toEqual({
      status: 200, accepted: 2, refused: [[1, 'over its limit'], [2, 'malformed'], [3, 'malformed'], [4, expect.stringContaining('malformed: ')], [5, 'about another site than its topic']],
    })
    expect([await presence(north), await blocksKept(north), await blocksKept(south)]).toEqual(['online', 1, 0])
  })

  test('takes no more memory with it than others: a batch that is long when it is opened is recorded bit by bit, and all of it', async () => {
    const messages = await Promise.all(Array.from({ length: 200 }, (_, i) => wire(north.message({ kind: 'metrics', block: block(200 - i, 60), alarms: [] }))))
    expect(messages.reduce((sum, { payload }) => sum + payload.length, 0)).toBeLessThan(limits.ingestOpenedBytesMax / 4)
    const { db } = controller.deps
    let lots = 0
    controller.deps.db = { ...db, write: (statements) => ((lots += statements.filter(({ sql }) => sql.includes('INSERT INTO metric_block')).length), db.write(statements)) }
    expect(await post([...messages, await hello(south)])).toMatchObject({ status: 200, body: { accepted: 201, refused: [] } })
    controller.deps.db = db
    expect(lots).toBe(2)
    expect([await blocksKept(north), await presence(south)]).toEqual([200, 'online'])
  })
})

describe('whoever listens on behalf of the controller', () => {
  const ingest = (body: unknown, as: (typeof roles)[number] = 'ingest') => controller.call('ingest', { as, body: body as never })

  test('tells of a gap: sites that were online are unknown until their hello, the others stay what they are', async () => {
    await ingest({ messages: [await hello(north)] })
    expect(await ingest({ messages: [], gap: 'reconnected' })).toMatchObject({ status: 200, body: { accepted: 0, refused: [] } })
    expect([await presence(north), await presence(south)]).toEqual(['unknown', 'offline'])
    // what comes with the gap came after it
    north.connection++
    await ingest({ messages: [await hello(north)], gap: 'started' })
    expect(await presence(north)).toBe('online')
  })

  test('and names no other cause, nor in another role', async () => {
    await ingest({ messages: [await hello(north)] })
    expect(await ingest({ messages: [], gap: 'bored' })).toMatchObject({ status: 400 })
    expect(await ingest({ messages: [], gap: 'started' }, 'operator')).toMatchObject({ status: 403 })
    expect(await presence(north)).toBe('online')
  })
})

describe('a probe', () => {
  const nonce = 'probe-0001'
  const back = async (message: { topic: string; payload: Uint8Array }) => post({ topic: message.topic, payload: toBase64(message.payload) })

  test('comes back as a report does, and is noted once, with the time it took', async () => {
    expect(await readProbe(controller.deps)).toBeNull()
    const sentAtMs = controller.clock.nowMs()
    const probe = await makeProbe(controller.context(), nonce)
    expect(probe).toMatchObject({ topic: 'murmur/v1/practice/sites/_probe/report', retain: false })
    controller.clock.advance(120)
    expect(await back(probe)).toMatchObject({ status: 200, body: { accepted: 1, refused: [] } })
    controller.clock.advance(5000)
    await back(probe)
    expect(await readProbe(controller.deps)).toEqual({ nonce, sentAtMs, receivedAtMs: sentAtMs + 120 })
    await back(await makeProbe(controller.context(), 'probe-0002'))
    expect(await readProbe(controller.deps)).toMatchObject({ nonce: 'probe-0002' })
  })

  test('that this controller did not make, or not lately, is refused and costs no row', async () => {
    const probe = await makeProbe(controller.context(), nonce)
    const text = fromUtf8(probe.payload)
    const other = await makeProbe({ ...controller.context(), keys: { ...controller.deps.keys, ingestSecret: () => new Uint8Array(32) } }, nonce)
    const site = await north.message(north.helloBody())
    const before = await everything()
    for (const payload of [text.replace(nonce, 'probe-0009'), text.replace(/"sentAtMs":1/, '"sentAtMs":2'), fromUtf8(other.payload), '{}', 'x', fromUtf8(site.payload)]) {
      expect(await back({ topic: probe.topic, payload: utf8(payload) })).toMatchObject({ status: 200, body: { accepted: 0, refused: [{ index: 0 }] } })
    }
    expect(await back({ topic: siteTopic(fleet, north.id, 'report'), payload: probe.payload })).toMatchObject({ body: { accepted: 0 } })
    controller.clock.advance(limits.probeLifeMs + 1)
    expect(await back(probe)).toMatchObject({ body: { refused: [{ reason: 'a probe of long ago' }] } })
    expect(await everything()).toEqual(before)
    await expect(makeProbe(controller.context(), 'short')).rejects.toThrow()
  })

  test('travels under a name that no site can have', () => {
    expect(SiteId.safeParse(probeTopic(fleet).split('/')[4]).success).toBe(false)
  })
})
