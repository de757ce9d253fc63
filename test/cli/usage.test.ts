import { describe, expect, test } from 'vitest'
import { inkOf, percentText, sparkline } from '../../cli/usage/chart.ts'
import type { CapacityView, FleetUsage, SiteUsage } from '../../protocol/http/usage.ts'
import type { LiveSample } from '../../protocol/metrics.ts'
import { madeUpController, murmurAlone, testIo, type Asked } from './command.support.ts'

const at = (minute: number): string => new Date(Date.UTC(2026, 5, 1, 11, minute)).toISOString()
const times = [at(0), at(15), at(30), at(45)]
const series = (...values: (number | null)[]) => values
const resources = { cpu: series(0.1, 0.5, null, 0.95), cpuMax: series(0.2, 0.6, null, 1), memory: series(0.5, 0.5, 0.5, 0.5), receivedBytesPerS: series(0, 1000, 2000, 1_500_000), sentBytesPerS: series(0, 0, 0, 0), pods: series(null, null, null, null) }

const siteUsage = {
  site: 'harbour', from: at(0), to: at(60), stepMs: 900_000, times, ...resources,
  nodes: [{ node: 'node-1', ...resources, pods: series(10, 12, 11, 12), memoryBytes: 16_000_000_000, filesystems: [{ path: '/', sizeBytes: 50_000_000_000, used: series(0.4, 0.4, 0.4, 0.4) }, { path: '/var\x1b[2J', sizeBytes: 100_000_000_000, used: series(0.7, 0.8, 0.9, 0.96) }] }],
} as unknown as SiteUsage
const fleetUsage = { from: at(0), to: at(60), stepMs: 900_000, times, groups: [{ value: 'north', sites: 3, nodes: 9, ...resources, fullestFilesystem: series(0.9, 0.9, 0.9, 0.96) }, { value: null, sites: 1, nodes: 1, ...resources, fullestFilesystem: series(null, null, null, null) }] } as unknown as FleetUsage
const capacity = [
  { site: 'harbour', node: 'node-1', path: '/var', used: 0.96, sizeBytes: 100_000_000_000, growthBytesPerDay: 1_500_000_000, daysLeft: 2.7, measuredAt: at(45) },
  { site: 'dale', node: 'node-1', path: '/', used: 0.31, sizeBytes: 50_000_000_000, growthBytesPerDay: null, daysLeft: null, measuredAt: at(45) },
] as unknown as CapacityView[]
const fleetRoutes = { 'GET /v1/usage': fleetUsage, 'GET /v1/capacity': { items: capacity, next: null } }

const run = async (args: string[], routes: Record<string, unknown>, more: Parameters<typeof testIo>[1] = {}) => {
  const { fetch, asked } = madeUpController(routes)
  const ended = await murmurAlone(['--url', 'http://controller.test', 'usage', ...args], testIo('/', { fetch, ...more }))
  return { ...ended, asked }
}

const many = series(...Array.from({ length: 100 }, () => 0.5))
const long = { cpu: many, cpuMax: many, memory: many, receivedBytesPerS: many, sentBytesPerS: many, pods: many }

describe('a line', () => {
  test('goes from the bottom to the top, with a blank where nothing is known', () => {
    expect(sparkline([0, 0.5, null, 0.99, 1, 7], 1, 10, 'blocks')).toBe('▁▅ ███')
    expect(sparkline([0, 0.5, null, 0.99, 1, 7], 1, 10, 'ascii')).toBe('_+ ###')
    expect(sparkline([], 1, 10, 'blocks')).toBe('')
    expect(sparkline([0, 0], 0, 10, 'blocks')).toBe('▁▁')
  })
  test('draws a long series together, each cell the mean of what falls into it', () => {
    expect(sparkline([0, 0, 1, 1, 0, 1, null, null], 1, 4, 'blocks')).toBe('▁█▅ ')
    expect(sparkline(Array.from({ length: 500 }, () => 0.5), 1, 48, 'blocks')).toBe('▅'.repeat(48))
  })
  test('is drawn without Unicode where the terminal knows none', () => {
    expect([{}, { LANG: 'de_DE.UTF-8' }, { LANG: 'C' }, { LANG: 'de_DE.UTF-8', LC_ALL: 'POSIX' }, { TERM: 'linux', LANG: 'C.utf8' }].map((env) => inkOf({ env }, undefined))).toEqual(['blocks', 'blocks', 'ascii', 'ascii', 'ascii'])
    expect(inkOf({ env: {} }, true)).toBe('ascii')
  })
  test('has shares beside it as people read them', () => {
    expect([0, 0.001, 0.423, 1, null].map(percentText)).toEqual(['0 %', '<1 %', '42 %', '100 %', '-'])
  })
})

test('a site shows each of its nodes, the fullest filesystem first, and nothing a terminal would obey (F71)', async () => {
  const { out, asked } = await run(['harbour', '--last', '1h', '--step', '15m'], { 'GET /v1/sites/harbour/usage': siteUsage })
  expect(asked[0]!.query).toEqual({ from: at(0), to: at(60), step: '900000ms' })
  const blank = (text: string): string => text.padEnd(48)
  expect(out).toBe(`harbour  2026-06-01 11:00:00Z to 2026-06-01 12:00:00Z, by 15m

node-1
  cpu          ${blank('▁▅ █')}  now 95 %, mean 52 %, peak 100 %
  memory       ${blank('▅▅▅▅')}  now 50 %, mean 50 %, peak 50 % of 16.0 GB
  received     ${blank('▁▁▁█')}  now 1.5 MB/s, mean 376 kB/s, peak 1.5 MB/s
  sent         ${blank('▁▁▁▁')}  now 0 B/s, mean 0 B/s, peak 0 B/s
  pods         ${blank('▇███')}  now 12, peak 12
  /var [2J   █████████▋  96 % of 100 GB  ▆▇██
  /          ████······  40 % of 50.0 GB  ▄▄▄▄
`)
  const plainly = (await run(['harbour', '--ascii'], { 'GET /v1/sites/harbour/usage': siteUsage })).out
  expect(plainly.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]*$/)
})

test('on a narrow terminal lines are as long as there is room, so that none wraps', async () => {
  const { out } = await run(['harbour'], { 'GET /v1/sites/harbour/usage': { ...siteUsage, ...long, nodes: [{ ...siteUsage.nodes[0]!, ...long }] } }, { terminal: () => ({ columns: 80, rows: 24 }) })
  expect(Math.max(...out.split('\n').map((each) => each.length))).toBeLessThanOrEqual(80)
  expect(out).toContain(`cpu          ${'▅'.repeat(18)}  now`)
})

test('a site that said nothing is said to have said nothing, and one that is not there is exit code 3', async () => {
  expect((await run(['harbour'], { 'GET /v1/sites/harbour/usage': { ...siteUsage, nodes: [], times: [] } })).out).toContain('it has said nothing in that time')
  expect((await run(['harbour', '--node', 'nope'], { 'GET /v1/sites/harbour/usage': { ...siteUsage, nodes: [], times: [] } })).out).toContain('it has said nothing of a node nope in that time')
})

test('the fleet shows each group, and its fullest sites with how long they have', async () => {
  const { out, asked } = await run(['--by', 'region', '-l', 'kind=shop', '--last', '1h', '--order', 'days-left', '--limit', '2'], fleetRoutes)
  expect(asked.map(({ route, query }) => [route, query])).toEqual([['GET /v1/usage', { from: at(0), to: at(60), groupBy: 'region', labelSelector: 'kind=shop' }], ['GET /v1/capacity', { limit: '2', order: 'days-left' }]])
  expect(out).toContain('\nregion=north: 3 sites, 9 nodes\n  cpu ')
  expect(out).toContain('\nwithout region: 1 site, 1 node\n')
  expect(out).toMatch(/fullest +████ +now 96 %, peak 96 %\n/)
  expect(out).toMatch(/first to be full:\nSITE +NODE +FILESYSTEM +USED +SIZE +GROWS A DAY +FULL IN\nharbour +node-1 +\/var +█████████▋ +96 % +100 GB +1\.5 GB +2 days\ndale +node-1 +\/ +███▏······ +31 % +50\.0 GB +- +-\n$/)
  expect((await run([], { ...fleetRoutes, 'GET /v1/usage': { ...fleetUsage, groups: [] }, 'GET /v1/capacity': { items: [], next: null } })).out).toContain('no site has said anything')
})

test('programs read both in one', async () => {
  expect(JSON.parse((await run(['-o', 'json'], fleetRoutes)).out)).toEqual({ usage: fleetUsage, capacity })
  expect(JSON.parse((await run(['harbour', '-o', 'json'], { 'GET /v1/sites/harbour/usage': siteUsage })).out)).toEqual(siteUsage)
  expect((await run(['-o', 'name'], fleetRoutes)).out).toBe('harbour\ndale\n')
})

describe('watching', () => {
  const sample = (second: number, cpu: number): LiveSample => ({
    atMs: Date.UTC(2026, 5, 1, 12, 0, second),
    nodes: [{ node: 'node-1', cpu: [cpu], memory: [500], memoryBytes: 1, filesystems: [{ path: '/var', sizeBytes: 1, used: [960] }], received: [1500], sent: [null] }],
  }) as unknown as LiveSample
  /** A site that sends a sample every five seconds while it is asked to. */
  function live(): Record<string, unknown> {
    let n = 0
    return {
      'POST /v1/sites/harbour/live': { until: at(59) },
      'GET /v1/sites/harbour/live': () => ({ until: at(59), samples: Array.from({ length: n++ }, (_, i) => sample(i * 5, i * 100)) }),
    }
  }
  const posts = (asked: Asked[]): number => asked.filter(({ route }) => route.startsWith('POST')).length

  test('asks the site again before it stops, and writes each sample once into a log', async () => {
    const { code, out, asked } = await run(['harbour', '--watch', '--for', '60s'], live())
    expect([code, posts(asked)]).toEqual([0, 2])
    const lines = out.trimEnd().split('\n')
    expect(lines).toHaveLength(11)
    expect(lines[1]).toBe('2026-06-01 12:00:05Z  node-1  cpu 10 %  memory 50 %  received 1.5 kB/s  sent -  /var 96 %')
    expect(new Set(lines).size).toBe(11)
  })

  test('writes each sample once as a line of JSON for a program, on a terminal too', async () => {
    const { out } = await run(['harbour', '--watch', '--for', '20s', '-o', 'json'], live(), { terminal: () => ({ columns: 100, rows: 24 }) })
    expect(out.trimEnd().split('\n').map((each) => JSON.parse(each) as LiveSample)).toEqual([sample(0, 0), sample(5, 100), sample(10, 200)])
  })

  test('draws a node in place on a terminal', async () => {
    const { out } = await run(['harbour', '--watch', '--for', '20s'], live(), { terminal: () => ({ columns: 100, rows: 24 }) })
    const last = out.slice(out.lastIndexOf('\x1b[6A')).replaceAll(/\x1b\[\d*[AKJ]/g, '')
    expect(last).toBe('harbour  2026-06-01 12:00:10Z\nnode-1\n  cpu       20 %  ▁▁▂\n  memory    50 %  ▅▅▅\n  network  received 1.5 kB/s, sent -\n  █████████▋  96 %  /var\n')
    expect(out).toContain('waiting for its first sample')
  })

  test('needs a site', async () => {
    expect((await run(['--watch'], {})).code).toBe(2)
  })
})
