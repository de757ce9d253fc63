import { afterEach, beforeEach, expect, test } from 'vitest'
import { answerOf } from '../../functions/adapters/memory/memory-http-sender.ts'
import { runWebhooks } from '../../functions/webhook/run.ts'
import { limits } from '../../protocol/limits.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { startBench, type Bench, type Ended } from './command.support.ts'

/** The commands about alarms, webhooks and usage against a whole controller; how they draw is tested with made-up answers. */
let bench: Bench
let site: PracticeSite
beforeEach(async () => {
  bench = await startBench()
  site = (await enrolSites(bench.controller, [{ id: 'harbour', labels: { region: 'north' } }])).get('harbour')!
})
afterEach(async () => {
  await bench.controller.settle()
  await bench.close()
})

async function done(...args: string[]): Promise<Ended> {
  const ended = await bench.murmur(args, { nowMs: bench.controller.clock.nowMs })
  expect(ended, args.join(' ')).toMatchObject({ code: 0 })
  return ended
}

test('an alarm of a site is seen, acknowledged, shelved, taken back and looked up', async () => {
  const name = ['harbour', '100.003', 'node=node-1.filesystem=/var']
  await site.say({ kind: 'alarm', alarmId: name[1]!, entity: name[2]!, raised: true, severity: 'critical', text: '/var is 96 % full\x1b[2J' })
  expect(await done('alarm', 'list', '-l', 'region=north')).toMatchObject({ out: expect.stringMatching(/critical +yes +active +0s +\/var is 96 % full \[2J\n$/), err: '1 alarm: 1 critical\n' })
  expect((await done('alarm', 'show', ...name)).out).toMatch(/alarm +100\.003 Filesystem full\n[^]*\nwhat to do +Remove/)
  expect((await done('alarm', 'ack', ...name, '--note', 'on it')).out).toMatch(/acknowledged .* by token:admin: on it\n/)
  expect((await done('alarm', 'list')).err).toBe('no alarms that ask for attention; --all shows the others too\n')
  expect((await done('alarm', 'list', '--all')).out).toContain('acknowledged')
  expect((await done('alarm', 'shelve', ...name, '--for', '4h', '--reason', 'a new disk comes')).out).toMatch(/shelved +until 2026-06-01 16:00:00Z by token:admin: a new disk comes\n/)
  expect((await done('summary')).out).toBe('sites        1 (1 online)\ncritical     0 active, 1 shelved\n')
  await done('alarm', 'unshelve', ...name)
  expect((await done('alarm', 'history', '--site', 'harbour')).out.split('\n').slice(1, -1).map((line) => line.split(/ {2,}/)[1])).toEqual(['unshelved', 'shelved', 'acknowledged', 'raised'])
  await done('alarm', 'clear', ...name, '--reason', 'mended')
  expect((await done('alarm', 'show', ...name, '-o', 'json')).out).toContain('"state": "cleared"')
  expect((await bench.murmur(['alarm', 'show', 'harbour', '1.1', 'nothing'])).code).toBe(3)
  expect((await bench.murmur(['alarm', 'ack', ...name], { as: 'viewer' })).code).toBe(5)
})

test('an endpoint is added, tested, told, looked into and replayed', async () => {
  const { http } = bench.controller
  const added = await done('webhook', 'add', 'pager', 'https://events.example.com/hook', '--type', 'alarm.*', '--severity', 'major')
  expect([added.out, added.err]).toEqual([expect.stringMatching(/^whsec_\S+\n$/), expect.stringContaining('shown only now')])
  const id = (await done('webhook', 'list', '-o', 'name')).out.trim()
  expect((await done('webhook', 'test', id)).out).toBe('200 in 3ms from 192.0.2.1\n')
  http.answer = () => answerOf(503)
  expect((await bench.murmur(['webhook', 'test', id])).code).toBe(1)
  http.answer = () => answerOf(202, { body: 'thanks\x1b[2J' })
  await done('alarm', 'raise', 'harbour', '100.101', 'disk', 'nearly full')
  await bench.controller.settle()
  await runWebhooks(bench.controller.context())
  const [delivery] = (await done('webhook', 'deliveries', id, '-o', 'name')).out.trim().split('\n')
  expect((await done('webhook', 'deliveries', id, delivery!)).out).toMatch(/murmuration\.alarm\.raised[^]*202 in 3ms from 192\.0\.2\.1[^]*thanks \[2J/)
  expect((await done('webhook', 'replay', id, '--from', '2026-06-01T11:00:00Z', '--to', '2026-06-01T13:00:00Z', '--all')).out).toBe('1 message will be sent again\n')
  expect((await done('webhook', 'rotate', id)).out).not.toBe(added.out)
  expect((await done('webhook', 'disable', id)).out).toMatch(/state +disabled/)
  expect((await done('webhook', 'update', id, '--name', 'night pager')).out).toMatch(/name +night pager/)
  await done('webhook', 'remove', id, '--yes')
  expect((await bench.murmur(['webhook', 'show', id])).code).toBe(3)
  expect((await bench.murmur(['webhook', 'add', 'own', 'http://127.0.0.1/hook'])).code).not.toBe(0)
})

test('usage of a site, of the fleet and right now', async () => {
  const startMs = Math.floor(bench.controller.clock.nowMs() / limits.metricBlockMs) * limits.metricBlockMs - limits.metricBlockMs
  const minutes = (value: number): number[] => Array.from({ length: 15 }, () => value)
  const node = { node: 'node-1', cpu: minutes(250), memory: minutes(500), memoryBytes: 16_000_000_000, filesystems: [{ path: '/var', sizeBytes: 100_000_000_000, used: minutes(960) }], received: minutes(1000), sent: minutes(0) }
  await site.say({ kind: 'metrics', block: { startMs, stepS: 60, nodes: [node] }, alarms: [] } as unknown as ReportBody)
  expect((await done('usage', 'harbour', '--last', '2h')).out).toMatch(/node-1\n +cpu .*now 25 %, mean 25 %[^]*\/var +█████████▋ +96 % of 100 GB/)
  const fleet = (await done('usage', '--by', 'region', '--last', '2h')).out
  expect(fleet).toMatch(/region=north: 1 site, 1 node\n/)
  expect(fleet).toMatch(/fullest sites:\n[^\n]*\nharbour +node-1 +\/var +█████████▋ 96 % +100 GB/)
  site.protocol = { min: 1, max: 2 }
  await site.connect()
  let n = 0
  const sleep = async (spanMs: number): Promise<void> => {
    bench.controller.clock.advance(spanMs)
    const live = { ...node, cpu: [100 * ++n], memory: [500], filesystems: [], received: [1], sent: [1] }
    await site.say({ kind: 'live', sample: { atMs: bench.controller.clock.nowMs(), nodes: [live] } } as unknown as ReportBody)
  }
  const watched = await bench.murmur(['usage', 'harbour', '--watch', '--for', '15s'], { nowMs: bench.controller.clock.nowMs, sleep })
  expect(watched.out).toMatch(/cpu 10 % [^\n]*\n[^\n]*cpu 20 % /)
  expect((await bench.murmur(['usage', 'nowhere'])).code).toBe(3)
})
