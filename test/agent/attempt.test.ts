import { describe, expect, test } from 'vitest'
import { alarmIds } from '../../protocol/alarms.ts'
import { FileError } from '../../edge-agent/host/host.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { CommandId, ReleaseRef } from '../../protocol/ids.ts'
import type { Grant } from '../../protocol/directives.ts'
import type { AttemptReport, Report, ReportBody } from '../../protocol/reports.ts'
import { rollCallTopic, siteTopic } from '../../protocol/topics.ts'
import { fleet, site as siteId, type ReleaseDraft } from '../support/fake-controller.ts'
import { deployment, startMs, TestSite } from '../support/test-site.ts'

/** A check that passes once `/ready` is on the node; tried for `patienceMs`. */
const waitsForReady = (patienceMs: number) => [{ type: 'file' as const, name: 'ready', path: '/ready', retries: 100, interval: patienceMs / 100 }]
const shop = (version: string, health: ReleaseDraft['components'][number]['health'] = [], more: Partial<ReleaseDraft> = {}): ReleaseDraft => ({
  version, components: [{ name: 'app', config: { driver: 'files', target: '/opt/app' }, files: { 'version.txt': version }, health }], ...more,
})

const bodies = <K extends ReportBody['kind']>(site: TestSite, kind: K): Extract<ReportBody, { kind: K }>[] =>
  site.controller.reports.flatMap(({ body }) => (body.kind === kind ? [body as Extract<ReportBody, { kind: K }>] : []))
const attempts = (site: TestSite, name: string): AttemptReport[] => bodies(site, 'progress').map((body) => body.attempt).filter((attempt) => attempt.deployment === deployment(name))
const endOf = (site: TestSite, name: string, attempt = 1): AttemptReport | undefined => attempts(site, name).find((each) => each.phase === 'ended' && each.attempt === attempt)

async function grant(site: TestSite, name: string, more: Partial<Grant> & Pick<Grant, 'desired'>): Promise<void> {
  await site.controller.send({
    kind: 'grant', deployment: deployment(name), attempt: 1, startByMs: site.controller.nowMs() + 60_000, maxDurationMs: 3_600_000, bootId: site.agent!.status().bootId, ...more,
  })
}
async function online(seed = 1): Promise<TestSite> {
  const site = await TestSite.create(seed)
  await site.start()
  await site.clock.until(() => bodies(site, 'hello').length > 0, 'a hello')
  return site
}
async function start(site: TestSite, name: string, release: ReleaseRef, more: Partial<Grant> = {}, back = false): Promise<void> {
  const desired = await site.desired(name, release, { back })
  await grant(site, name, { desired: desired.position, ...more })
}
async function deploy(site: TestSite, name: string, release: ReleaseRef, more: Partial<Grant> = {}, back = false): Promise<AttemptReport> {
  await start(site, name, release, more, back)
  await site.clock.until(() => endOf(site, name) !== undefined, `${name} has ended`)
  return endOf(site, name)!
}
let commands = 0
const abort = (site: TestSite, name: string, mode: 'safe-point' | 'revert') =>
  site.controller.send({
    kind: 'command', id: `cm_${String(++commands).padStart(26, '0')}` as CommandId, bootId: null, expiresAtMs: site.clock.nowMs() + 600_000,
    body: { type: 'abort', deployment: deployment(name), attempt: 1, mode },
  })
const sayHello = (site: TestSite) =>
  site.controller.send({ kind: 'command', id: `cm_${String(++commands).padStart(26, '0')}` as CommandId, bootId: null, expiresAtMs: site.clock.nowMs() + 60_000, body: { type: 'hello' } })
const applying = (site: TestSite, name: string): Promise<void> => site.clock.until(() => attempts(site, name).some((each) => each.phase === 'applying'), 'it applies')

describe('when an attempt starts', () => {
  test('never without a grant, however long the desired is there (I6)', async () => {
    const site = await online()
    await site.desired('one', await site.controller.publish(shop('1.0.0')))
    for (let i = 0; i < 200; i++) await site.clock.until(() => true, 'time')
    site.clock.pass(30 * 86_400_000)
    expect(site.agent!.status().attempt).toBeNull()
    expect(site.controller.requests.filter((request) => request !== 'GET /v1/trust')).toEqual([])
  })

  test('a grant that comes before its desired waits for it', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await grant(site, 'one', { desired: { epoch: 1, generation: 50 }, position: { epoch: 1, generation: 51 } })
    await site.clock.until(() => true, 'time')
    expect(site.agent!.status().attempt).toBeNull()
    await site.controller.send({ kind: 'desired', release, deployment: deployment('one'), staging: 'with-start', back: false, position: { epoch: 1, generation: 50 } })
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('succeeded')
  })

  test('not after its time, though the desired comes at last (I6)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await grant(site, 'one', { desired: { epoch: 1, generation: 50 }, position: { epoch: 1, generation: 51 } })
    await site.clock.until(() => true, 'time')
    site.clock.pass(60_001)
    await site.controller.send({ kind: 'desired', release, deployment: deployment('one'), staging: 'with-start', back: false, position: { epoch: 1, generation: 50 } })
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('not-started')
  })

  test('not after its time, though the disk takes its start at last (I6, F23)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    const write = site.files.writeDurable.bind(site.files)
    let refused = 0
    site.files.writeDurable = async (path, bytes, mode) => {
      const isStart = path.includes('/journal') && fromUtf8(bytes).includes('"phase":"staging"')
      if (isStart && ++refused < 20) throw new FileError('ENOSPC', path)
      return write(path, bytes, mode)
    }
    await start(site, 'one', release)
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect([endOf(site, 'one')!.outcome, attempts(site, 'one').some(({ phase }) => phase === 'staging')]).toEqual(['not-started', false])
    expect(refused).toBeGreaterThan(1)
    expect(refused).toBeLessThan(20)
  })

  test('the same grant a thousand times is one attempt (F36, F49)', async () => {
    const site = await online()
    const desired = await site.desired('one', await site.controller.publish(shop('1.0.0')))
    const { payload, directive } = await site.controller.sign({
      kind: 'grant', desired: desired.position, deployment: deployment('one'), attempt: 1, startByMs: startMs + 60_000, maxDurationMs: 3_600_000, bootId: site.agent!.status().bootId,
    })
    for (let i = 0; i < 1000; i++) site.controller.deliver({ topic: siteTopic(fleet, siteId, directive.kind), payload, retained: false })
    await site.clock.until(() => endOf(site, 'one') !== undefined && site.agent!.status().reportsWaiting === 0, 'the end')
    expect(attempts(site, 'one').filter((each) => each.phase === 'ended')).toHaveLength(1)
    expect(bodies(site, 'rejected')).toEqual([])
  })

  test('with a clock in 1970, once the grant echoes this boot, and HTTPS goes on too (F30)', async () => {
    const site = await TestSite.create()
    site.clock.wallMs = 0
    site.controller.nowMs = () => startMs + site.clock.monotonicMs()
    await site.start()
    await site.clock.until(() => bodies(site, 'hello').length > 0, 'a hello')
    const release = await site.controller.publish(shop('1.0.0'))
    await start(site, 'one', release, { startByMs: startMs + 60_000, bootId: 'c'.repeat(32) as Grant['bootId'] })
    await site.clock.until(() => bodies(site, 'rejected').length > 0, 'a rejection')
    expect(bodies(site, 'rejected')).toMatchObject([{ reason: 'wrong-boot' }])
    expect((await deploy(site, 'two', release, { startByMs: startMs + 60_000 })).outcome).toBe('succeeded')
  })
})

describe('how an attempt ends', () => {
  test('a failed check takes every node back, and names where it failed (F25)', async () => {
    const site = await online()
    await deploy(site, 'one', await site.controller.publish(shop('1.0.0')))
    const end = await deploy(site, 'two', await site.controller.publish(shop('2.0.0', waitsForReady(200))))
    expect(end).toMatchObject({ outcome: 'rolled-back', fault: { node: 'worker-0', component: 'app', check: 'ready' } })
    expect(await Promise.all([0, 1].map((node) => site.read(node, '/opt/app/version.txt')))).toEqual(['1.0.0', '1.0.0'])
    expect(bodies(site, 'progress').at(-1)!.nodes.map((node) => node.release?.id)).toEqual(['shop@1.0.0', 'shop@1.0.0'])
  })

  test('the deadline takes it back as timed out, counted over restarts (F33)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0', waitsForReady(500_000)))
    await start(site, 'one', release, { maxDurationMs: 30_000 })
    await applying(site, 'one')
    site.clock.pass(20_000)
    site.crash()
    site.clock.pass(5000)
    const before = site.clock.monotonicMs()
    await site.start()
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')).toMatchObject({ outcome: 'timed-out', fault: { code: 'deadline' } })
    expect(site.clock.monotonicMs() - before).toBeLessThan(26_000)
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test('revert takes back what was applied and is answered; a second one has nothing to do', async () => {
    const site = await online()
    await start(site, 'one', await site.controller.publish(shop('1.0.0', waitsForReady(500_000))))
    await applying(site, 'one')
    await abort(site, 'one', 'revert')
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('aborted')
    await abort(site, 'one', 'revert')
    await site.clock.until(() => bodies(site, 'answer').length === 2, 'two answers')
    expect(bodies(site, 'answer').map((body) => body.result)).toEqual(['done', 'done'])
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test('safe-point lets an attempt that applies go on to its end', async () => {
    const site = await online()
    await start(site, 'one', await site.controller.publish(shop('1.0.0', waitsForReady(500_000))))
    await applying(site, 'one')
    await abort(site, 'one', 'safe-point')
    for (const node of [0, 1]) await site.files.write(`/nodes/${node === 0 ? 'worker-0' : 'controller-0'}/ready`, new Uint8Array(1))
    await site.clock.until(() => endOf(site, 'one') !== undefined && bodies(site, 'answer').length === 1, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('succeeded')
    expect(bodies(site, 'answer')[0]!.result).toBe('nothing-to-do')
  })

  test('an abort that came before its grant keeps it from starting (F36)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await abort(site, 'one', 'safe-point')
    await start(site, 'one', release)
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('aborted')
    expect(await site.read(0, '/opt/app/version.txt')).toBeNull()
  })

  test('an abort is not forgotten for a hello that comes after it', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await abort(site, 'one', 'safe-point')
    await sayHello(site)
    await start(site, 'one', release)
    await site.clock.until(() => endOf(site, 'one') !== undefined && bodies(site, 'answer').length === 2, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('aborted')
  })

  test('a node that cannot be brought back needs hands; once they have helped, the site says so (F26)', async () => {
    const site = await online()
    await deploy(site, 'one', await site.controller.publish(shop('1.0.0')))
    site.onDiskCall = (path) => {
      if (path === '/nodes/worker-0/opt/app.murmur-new' && attempts(site, 'two').some((each) => each.phase === 'rolling-back')) throw new FileError('EIO', path)
    }
    const end = await deploy(site, 'two', await site.controller.publish(shop('2.0.0', waitsForReady(200))))
    expect(end).toMatchObject({ outcome: 'needs-hands', fault: { code: 'disk-eio', node: 'worker-0' } })
    expect(site.agent!.status().nodes.map((node) => node.release?.id)).toEqual(['shop@2.0.0', 'shop@1.0.0'])
    site.onDiskCall = null
    await site.files.remove('/nodes/worker-0/opt/app')
    await site.files.symlink(await site.files.readlink('/nodes/controller-0/opt/app'), '/nodes/worker-0/opt/app')
    await sayHello(site)
    await site.clock.until(() => attempts(site, 'two').at(-1)!.outcome === 'rolled-back', 'hands have helped')
  })

  test('goes back only to a release of its own history (I4)', async () => {
    const site = await online()
    const [one, two, stranger] = [await site.controller.publish(shop('1.0.0')), await site.controller.publish(shop('2.0.0')), await site.controller.publish(shop('0.9.0'))]
    await deploy(site, 'one', one)
    await deploy(site, 'two', two)
    expect(await deploy(site, 'three', one)).toMatchObject({ outcome: 'failed', fault: { code: 'release-refused' } })
    expect(await deploy(site, 'four', stranger, {}, true)).toMatchObject({ outcome: 'failed', fault: { code: 'release-refused' } })
    expect((await deploy(site, 'five', one, {}, true)).outcome).toBe('succeeded')
    expect(await site.read(0, '/opt/app/version.txt')).toBe('1.0.0')
    expect(site.agent!.status()).toMatchObject({ running: one, previous: two })
  })

  test('keeps the bytes of the running and the previous release, and no others', async () => {
    const site = await online()
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) await deploy(site, version.replaceAll('.', 'x'), await site.controller.publish(shop(version)))
    await site.clock.until(() => site.logged.filter(({ event }) => event === 'garbage-collected').length === 3, 'the last sweep')
    expect(await site.files.list('/var/lib/murmur/trees')).toHaveLength(2)
  })
})

describe('beside attempts', () => {
  test('stages ahead of the grant and says so, without starting', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await site.desired('one', release, { staging: 'ahead' })
    await site.clock.until(() => bodies(site, 'staged').length > 0, 'it is staged')
    expect(bodies(site, 'staged')).toEqual([{ kind: 'staged', release, fault: null }])
    expect(site.agent!.status().attempt).toBeNull()
    site.controller.objects.clear()
    expect((await deploy(site, 'one', release)).outcome).toBe('succeeded')
  })

  test('answers a roll-call with a hello (F43)', async () => {
    const site = await online()
    site.controller.deliver({ topic: rollCallTopic(fleet), payload: new Uint8Array(0), retained: false })
    await site.clock.until(() => bodies(site, 'hello').length === 2, 'another hello')
    expect(bodies(site, 'hello')[1]!.connectionId).toBe(bodies(site, 'hello')[0]!.connectionId)
  })

  test('an agent that HTTPS calls fenced begins nothing any more (F31)', async () => {
    const site = await online()
    site.controller.refusal = 'fenced'
    expect((await deploy(site, 'one', await site.controller.publish(shop('1.0.0')))).outcome).toBe('failed')
    expect(site.agent!.status().fenced).toBe(true)
  })

  test('a copy of a replaced agent stops acting, and says why (F31)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    await site.controller.send({ kind: 'desired', release, deployment: deployment('one'), staging: 'with-start', back: false, incarnation: 2 })
    await site.clock.until(() => site.agent!.status().fenced, 'it is fenced')
    await start(site, 'one', release)
    await site.clock.until(() => bodies(site, 'alarm').length > 0, 'an alarm')
    for (let i = 0; i < 50; i++) await site.clock.until(() => true, 'time')
    expect(site.agent!.status().attempt).toBeNull()
    expect(bodies(site, 'alarm')).toMatchObject([{ alarmId: alarmIds.duplicateIdentity, raised: true }])
  })

  test('takes newer keys, also when only they can tell that a directive is right (I3)', async () => {
    const site = await online()
    const release = await site.controller.publish(shop('1.0.0'))
    site.controller.fleetKey = (await TestSite.create(3)).controller.fleetKey
    await site.controller.issueTrust(2)
    expect((await deploy(site, 'one', release)).outcome).toBe('succeeded')
    site.crash()
    await site.start()
    await site.clock.until(() => bodies(site, 'hello').at(-1)!.trustVersion === 2, 'the newer trust is kept')
  })

  test('runs on without a controller for days, and says then what happened meanwhile (F32)', async () => {
    const site = await online()
    await deploy(site, 'one', await site.controller.publish(shop('1.0.0')))
    site.controller.reachable = false
    site.controller.dropConnections()
    const before = site.controller.reports.length
    for (let i = 0; i < 300; i++) await site.clock.until(() => true, 'time').then(() => site.clock.next())
    expect(site.controller.reports).toHaveLength(before)
    expect(site.agent!.status().running?.id).toBe('shop@1.0.0')
    site.controller.reachable = true
    await site.clock.until(() => site.controller.reports.length > before, 'a report')
    expect(bodies(site, 'hello').at(-1)!.running?.id).toBe('shop@1.0.0')
  })

  test('a disk that is full keeps neither the agent from starting nor its hello from being sent (F23)', async () => {
    const site = await online()
    await deploy(site, 'one', await site.controller.publish(shop('1.0.0')))
    site.crash()
    site.files.capacityBytes = 0
    const before = bodies(site, 'hello').length
    await site.start()
    await site.clock.until(() => bodies(site, 'hello').length > before, 'a hello')
    expect(bodies(site, 'hello').at(-1)!.running?.id).toBe('shop@1.0.0')
  })

  test('no two reports of an incarnation have one number, over many sudden ends (I8)', async () => {
    const site = await online()
    for (let i = 0; i < 8; i++) {
      site.crash()
      await site.start(60 + i * 20)
      await site.clock.until(() => !site.power.on || site.agent!.status().connected, 'it is on or off').catch(() => undefined)
    }
    const bySeq = new Map<number, Report>()
    for (const report of site.controller.reports) {
      const other = bySeq.get(report.seq)
      if (other !== undefined) expect(report.body).toEqual(other.body)
      bySeq.set(report.seq, report)
    }
    expect(bySeq.size).toBeGreaterThan(8)
  })

  test('says goodbye when it is stopped, and an attempt goes on at the next start', async () => {
    const site = await online()
    await start(site, 'one', await site.controller.publish(shop('1.0.0', waitsForReady(500_000))))
    await applying(site, 'one')
    await site.agent!.stop()
    expect(bodies(site, 'gone').at(-1)!.connectionId).toBe(bodies(site, 'hello').at(-1)!.connectionId)
    for (const node of ['worker-0', 'controller-0']) await site.files.write(`/nodes/${node}/ready`, new Uint8Array(1))
    await site.start()
    await site.clock.until(() => endOf(site, 'one') !== undefined, 'the end')
    expect(endOf(site, 'one')!.outcome).toBe('succeeded')
  })
})
