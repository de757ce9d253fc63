import { describe, expect, test } from 'vitest'
import type { HttpRequest, HttpResponse } from '../../edge-agent/host/host.ts'
import type { AttemptReport, ReportBody } from '../../protocol/reports.ts'
import { piecesOf, type ReleaseDraft } from '../support/fake-controller.ts'
import { deployment, TestSite } from '../support/test-site.ts'

const long = Array.from({ length: 2000 }, (_, i) => `line ${i}`).join('\n')
const release = (version: string, more: Partial<ReleaseDraft> = {}): ReleaseDraft => ({
  version, components: [{ name: 'app', config: { driver: 'files', target: '/opt/app' }, files: { 'version.txt': version, 'long.txt': `${version} ${long}` } }], ...more,
})

/** Has one release deployed, with the grant sent once the site has said hello; gives the attempt's end. */
async function attempt(site: TestSite, draft: ReleaseDraft): Promise<AttemptReport> {
  const ref = await site.controller.publish(draft)
  await site.start()
  await site.clock.until(() => site.controller.reports.some((report) => report.body.kind === 'hello'), 'a hello')
  const desired = await site.desired('one', ref)
  await site.controller.send({ kind: 'grant', desired: desired.position, deployment: deployment('one'), attempt: 1, startByMs: site.clock.nowMs() + 60_000, maxDurationMs: 3_600_000, bootId: site.agent!.status().bootId })
  const ended = (): AttemptReport | undefined => site.controller.reports.flatMap(({ body }) => (body.kind === 'progress' && body.attempt.phase === 'ended' ? [body.attempt] : []))[0]
  await site.clock.until(() => ended() !== undefined, 'the attempt has ended')
  await site.agent!.stop()
  return ended()!
}

const rejected = (site: TestSite): Extract<ReportBody, { kind: 'rejected' }>[] => site.controller.reports.flatMap(({ body }) => (body.kind === 'rejected' ? [body] : []))
const isPack = (bytes: Uint8Array): boolean => bytes.length > 10_000

/** Spoils the first answers for the pack, then serves it. */
function spoil(site: TestSite, times: number, how: (request: HttpRequest, bytes: Uint8Array) => Partial<HttpResponse>): { spoiled: () => number } {
  let spoiled = 0
  site.controller.interceptObject = (request, bytes) => (isPack(bytes) && spoiled < times ? (spoiled++, how(request, bytes)) : null)
  return { spoiled: () => spoiled }
}

async function* cutShort(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  yield* piecesOf(bytes.subarray(0, length))
  throw new Error('the connection broke')
}

const rangeOf = (request: HttpRequest, bytes: Uint8Array): Uint8Array => {
  const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  return bytes.subarray(Number(first), last === '' ? undefined : Number(last) + 1)
}
const html = new TextEncoder().encode(`<html>${'please log in '.repeat(4000)}</html>`)

describe('bytes that come wrongly are noticed and fetched again (F34)', () => {
  const rows: [string, number, (request: HttpRequest, bytes: Uint8Array) => Partial<HttpResponse>][] = [
    ['a connection that breaks again and again', 5, (request, bytes) => ({ body: cutShort(rangeOf(request, bytes), 4000) })],
    ['an answer that ends early without an error', 3, (request, bytes) => ({ body: piecesOf(rangeOf(request, bytes).subarray(0, 3000)) })],
    ['the whole object in place of the range', 1, (_, bytes) => ({ status: 200, body: piecesOf(bytes) })],
    ['a page of HTML with status 200', 1, () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: piecesOf(html) })],
    ['another range than asked for', 1, (_, bytes) => ({ status: 206, headers: { 'content-range': `bytes 7-100/${bytes.length}` }, body: piecesOf(bytes.subarray(7, 101)) })],
    ['a URL that has ended', 2, () => ({ status: 403, body: piecesOf(html) })],
    ['a range that cannot be given', 2, () => ({ status: 416, body: piecesOf(html) })],
    ['a server that is overloaded', 4, () => ({ status: 503, body: piecesOf(html) })],
    ['one flipped bit (F1)', 2, (request, bytes) => {
      const spoiled = rangeOf(request, bytes).slice()
      spoiled[spoiled.length - 9]! ^= 1
      return { body: piecesOf(spoiled) }
    }],
    ['more bytes than asked for (F7)', 1, (request, bytes) => ({ body: piecesOf(new Uint8Array([...rangeOf(request, bytes), ...html])) })],
  ]
  test.each(rows)('%s', async (_, times, how) => {
    const site = await TestSite.create()
    const { spoiled } = spoil(site, times, how)
    expect((await attempt(site, release('1.0.0'))).outcome).toBe('succeeded')
    expect(spoiled()).toBe(times)
    expect(await site.read(0, '/opt/app/version.txt')).toBe('1.0.0')
  })

  test('a broken download goes on where it ended', async () => {
    const site = await TestSite.create()
    const firsts: number[] = []
    spoil(site, 3, (request, bytes) => {
      firsts.push(Number(/^bytes=(\d+)-/.exec(request.headers.range!)![1]))
      return { body: cutShort(rangeOf(request, bytes), 5120) }
    })
    await attempt(site, release('1.0.0'))
    expect(firsts).toEqual([0, 5120, 10240])
  })

  test('a controller that is away while bytes are fetched is waited for, as long as the attempt has time', async () => {
    const site = await TestSite.create()
    site.controller.unavailable = 12
    expect(await attempt(site, release('1.0.0'))).toMatchObject({ outcome: 'succeeded' })
    expect(site.controller.unavailable).toBe(0)
  })

  test('an object that stays wrong fails the attempt, and nothing in effect was changed (I2)', async () => {
    const site = await TestSite.create()
    spoil(site, Number.POSITIVE_INFINITY, (request, bytes) => ({ body: piecesOf(rangeOf(request, bytes).map((byte) => byte ^ 1)) }))
    expect(await attempt(site, release('1.0.0'))).toMatchObject({ outcome: 'failed' })
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test('an object that the store has lost fails the attempt after bounded tries, and the report says so (F56)', async () => {
    const site = await TestSite.create()
    spoil(site, Number.POSITIVE_INFINITY, () => ({ status: 404, body: piecesOf(html) }))
    expect(await attempt(site, release('1.0.0'))).toMatchObject({ outcome: 'failed', fault: { code: 'object-missing', detail: expect.stringContaining('the object store does not have it') } })
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test('an object that the store has again after a while is fetched', async () => {
    const site = await TestSite.create()
    spoil(site, 4, () => ({ status: 404, body: piecesOf(html) }))
    expect((await attempt(site, release('1.0.0'))).outcome).toBe('succeeded')
  })
})

describe('a release is accepted only if all of SPEC §5 holds', () => {
  test('R1: a publisher that this site trusts signed it (F14)', async () => {
    const site = await TestSite.create()
    const stranger = (await TestSite.create(2)).controller.publisher
    site.controller.publisher = stranger
    expect(await attempt(site, release('1.0.0'))).toMatchObject({ outcome: 'failed', fault: { code: 'release-refused' } })
    expect(rejected(site)).toMatchObject([{ reason: 'release-refused', directive: 'desired', deployment: deployment('one') }])
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test.each([
    ['R2: its architecture fits (F2)', { architectures: ['riscv64'] }, 'architecture'],
    ['R2: the agent speaks its protocol', { protocolMin: 3 }, 'protocol'],
    ['R3: a patch needs what it replaces', { kind: 'patch' as const, replaces: ['1.0.0'] }, 'needs-base'],
  ])('%s', async (_, more, reason) => {
    const site = await TestSite.create()
    const end = await attempt(site, release('1.0.1', more))
    expect(end).toMatchObject({ outcome: 'failed', fault: { code: 'release-refused' } })
    expect(end.fault!.detail).toContain(reason)
    expect(rejected(site)).toHaveLength(1)
  })
})

describe('space (F23)', () => {
  test('a disk that is too small for old and new together fails before anything is fetched', async () => {
    const site = await TestSite.create()
    site.files.capacityBytes = 10 * 1024 * 1024
    expect(await attempt(site, release('1.0.0'))).toMatchObject({ outcome: 'failed', fault: { code: 'no-space' } })
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })
})
