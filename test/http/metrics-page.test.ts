import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { statement } from '../../db/client.ts'
import { alarm } from '../../db/schema/alarm.ts'
import { delivery, webhook } from '../../db/schema/webhook.ts'
import { formatExposition } from '../../functions/metric/exposition.ts'
import type { Role } from '../../protocol/states.ts'
import { startController, type Controller } from '../support/controller.ts'
import { addRelease, enrolSites, startRollout, tick } from '../support/practice-fleet.ts'
import { needs } from '../support/needs.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { blockMs, blockStart, steadyBlock, steadyNode } from '../support/metric-blocks.ts'

let controller: Controller
let sites: Map<string, PracticeSite>
let lastMs: number
beforeEach(async () => {
  controller = await startController()
  sites = await enrolSites(controller, [{ id: 'aa' }, { id: 'bb' }, { id: 'cc', offline: true }])
  lastMs = blockStart(controller.clock.nowMs()) - blockMs
  controller.clock.advance(5 * 60_000)
})
afterEach(() => controller.close())

const scrape = (path = '/metrics', as: Role | null = 'viewer') => controller.send('GET', path, as === null ? {} : { authorization: `Bearer ${controller.tokens[as]}` })
const textOf = async (path?: string): Promise<string> => {
  const response = await scrape(path)
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  return response.text()
}
/** The value of a sample by its name with its labels. */
const valueOf = (text: string, sample: string): number | null => {
  const line = text.split('\n').find((each) => each.startsWith(`${sample} `))
  return line === undefined ? null : Number(line.slice(sample.length + 1).split(' ')[0])
}

/** Two sites with metrics, one of them with hostile paths; a rollout, an alarm, a webhook with a delivery that waits. */
async function fill(): Promise<void> {
  const hostile = `/"\\\n${'\u{1f4be}'.slice(0, 1)}} 1\n# HELP x`
  await sites.get('aa')!.say({ kind: 'metrics', block: steadyBlock(lastMs, steadyNode('alpha', { cpu: 200, used: { '/': 300, '/var': 920 } }), steadyNode('beta', { cpu: null })), alarms: [] })
  await sites.get('bb')!.say({ kind: 'metrics', block: steadyBlock(lastMs, steadyNode('alpha', { cpu: 600, used: { [hostile]: 450 } })), alarms: [] })
  const { id } = await addRelease(controller, '1.0.0')
  await startRollout(controller, { name: 'one', target: { release: id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: 1 } })
  await tick(controller)
  const standing = { siteId: 'aa', alarmId: '100.003', entity: 'x', severity: 'major' as const, text: '', gating: false, raisedMs: 1, clearedMs: null, seq: 1 }
  await controller.db.write([
    statement(controller.db.orm.insert(alarm).values(standing)),
    statement(controller.db.orm.insert(webhook).values({
      id: 'wh_one', name: 'n', target: '', urlShown: '', format: 'standard', signing: 'v1', secrets: [], filter: {}, perSecond: 1, state: 'enabled', alarmSeq: 0, auditSeq: 0, failures: 0, holdUntilMs: 0, pacedUntilMs: 0, createdBy: '', createdMs: 0, version: 1,
    })),
    statement(controller.db.orm.insert(delivery).values({ id: 'wd_one', webhookId: 'wh_one', state: 'waiting', orderKeys: [], types: [], subject: '', events: [], eventCount: 1, createdMs: 0, dueMs: 0, leasedUntilMs: 0, attempts: 0, log: [] })),
  ])
}

describe('the page for Prometheus', () => {
  test('says how the fleet is, without a label for each site', async () => {
    await fill()
    const text = await textOf()
    const values = [
      'murmur_build_info{version="0.0.0-test",fleet="practice"}', 'murmur_sites{state="online"}', 'murmur_sites{state="offline"}', 'murmur_alarms{severity="major",condition="active"}', 'murmur_rollouts{state="running"}',
      'murmur_webhook_deliveries_waiting{webhook="wh_one"}', 'murmur_reporting_sites', 'murmur_reporting_nodes', 'murmur_cpu_ratio', 'murmur_memory_ratio',
      'murmur_fullest_filesystem_ratio_bucket{le="0.5"}', 'murmur_fullest_filesystem_ratio_bucket{le="0.95"}', 'murmur_fullest_filesystem_ratio_bucket{le="+Inf"}', 'murmur_fullest_filesystem_ratio_sum', 'murmur_fullest_filesystem_ratio_count',
    ].map((name) => valueOf(text, name))
    // a node that does not say counts as the others of its site
    expect(values).toEqual([1, 2, 1, 1, 1, 1, 2, 3, 0.3333, 0.4, 1, 2, 2, 1.37, 2])
    expect(text).toMatch(/^murmur_deployments\{rollout="ro_\w+",state="in-flight"\} 1$/m)
    expect(text).not.toContain('site="')
  })

  test('of a fleet that has said nothing has only what is known', async () => {
    const text = await textOf()
    expect(text).toContain('murmur_sites{state="offline"} 1\n')
    expect(text).not.toMatch(/NaN|null|undefined|cpu_ratio|fullest/)
  })

  test('is for whoever may read, and nobody else', async () => {
    for (const role of ['viewer', 'operator', 'publisher', 'admin'] as const) expect((await scrape('/metrics', role)).status).toBe(200)
    expect([(await scrape('/metrics', 'ingest')).status, (await scrape('/metrics', null)).status, (await controller.send('GET', '/metrics', { authorization: 'Bearer mm_wrong' })).status]).toEqual([403, 401, 401])
  })

  test.each(['by=node', 'by=site&limit=0', 'by=site&limit=501', 'by=site&after=../x', 'colour=red'])('is refused for %s', async (query) => {
    const response = await scrape(`/metrics?${query}`)
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
  })

  test('by site has the newest sample of each series, with its time, and names the next page', async () => {
    await fill()
    const first = await scrape('/metrics?by=site&limit=1')
    const text = await first.text()
    expect([valueOf(text, 'murmur_site_online{site="aa"}'), valueOf(text, 'murmur_node_cpu_ratio{site="aa",node="alpha"}'), valueOf(text, 'murmur_node_filesystem_used_ratio{site="aa",node="alpha",path="/var"}')]).toEqual([1, 0.2, 0.92])
    expect(text).toContain(`murmur_node_pods{site="aa",node="alpha"} 10 ${lastMs + 14 * 60_000}\n`)
    expect(text).not.toContain('cpu_ratio{site="aa",node="beta"}')
    expect(text).not.toContain('"bb"')
    const next = /^<([^>]+)>; rel="next"$/.exec(first.headers.get('link') ?? '')![1]!
    const rest = await scrape(next.replace('limit=1', 'limit=5'))
    expect([rest.headers.get('link'), valueOf(await rest.text(), 'murmur_site_online{site="cc"}')]).toEqual([null, 0])
  })

  test('by site says nothing of a node that has been silent for an hour', async () => {
    await fill()
    controller.clock.advance(4 * blockMs)
    const text = await textOf('/metrics?by=site')
    expect([valueOf(text, 'murmur_site_online{site="aa"}'), text.includes('murmur_node_')]).toEqual([1, false])
  })
})

const promtool = needs('promtool')
promtool.describe("Prometheus' own parser", () => {
  const check = (text: string) => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8', timeout: 20_000 })
    return { status, said: `${stdout}${stderr}` }
  }

  test('takes both pages, also with hostile names in them, and has nothing to say about them', async () => {
    await fill()
    for (const path of ['/metrics', '/metrics?by=site']) expect(check(await textOf(path))).toEqual({ status: 0, said: '' })
  })

  test('would find a name that is not escaped', () => {
    const family = { name: 'murmur_x', type: 'gauge' as const, help: 'X.', samples: [{ labels: { path: 'a"b\nc\\' }, value: 1 }] }
    expect(check(formatExposition([family])).status).toBe(0)
    expect(check('# HELP murmur_x X.\n# TYPE murmur_x gauge\nmurmur_x{path="a"b"} 1\n').status).not.toBe(0)
  })
})
