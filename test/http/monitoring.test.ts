import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dispatchDirectives } from '../../functions/directive/dispatch.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { settleMonitoring } from '../../functions/monitoring/settle.ts'
import { tellMonitoring } from '../../functions/monitoring/tell.ts'
import { workOutSites } from '../../functions/monitoring/work-out.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Command } from '../../protocol/directives.ts'
import type { Digest } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { defaultsDigest, mergeMonitoring, monitoringText, type MonitoringSettings } from '../../protocol/monitoring.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import { enrolBody } from '../support/agent.ts'
import { makeKey, startController, type Controller } from '../support/controller.ts'
import { addSites, enrolSites } from '../support/practice-fleet.ts'
import { PracticeSite } from '../support/practice-site.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController()))
afterEach(async () => {
  await controller.settle()
  controller.close()
})

const digestOf = async (settings: MonitoringSettings): Promise<Digest> => toHex(await nodeCrypto.sha256(utf8(monitoringText(settings)))) as Digest
const put = (rule: string, body: { labelSelector: string; settings: MonitoringSettings; priority?: number }) => controller.call('putMonitoringRule', { as: 'operator', params: { rule }, body })
const own = (site: string, body: MonitoringSettings) => controller.call('putSiteMonitoring', { as: 'operator', params: { site }, body })
const look = async (site: string) => (await controller.call('getSiteMonitoring', { as: 'viewer', params: { site } })).body
/** What the schedule does, until it has nothing left to do. */
async function settle(): Promise<void> {
  await controller.settle()
  await settleMonitoring(controller.context())
  await dispatchDirectives(controller.context())
}

/** A site whose agent follows what it is told. */
class WatchingSite extends PracticeSite {
  settings: MonitoringSettings | null = null
  override protocol = { min: 1, max: 2 }

  async hello(): Promise<void> {
    this.connection++
    const held = this.settings === null ? null : await digestOf(this.settings)
    await this.say(this.helloBody())
    await this.say({ kind: 'standing', alarms: [], monitoring: held })
  }

  async orders(): Promise<(Command & { body: { type: 'monitoring' } })[]> {
    return (await this.directives('command')).filter((command): command is Command & { body: { type: 'monitoring' } } => command.body.type === 'monitoring')
  }

  answer({ id }: Command, result: 'done' | 'refused' = 'done'): Promise<void> {
    return this.say({ kind: 'answer', command: id, result, detail: '' })
  }

  /** Does the newest that it was told, and says so. */
  async obey(): Promise<void> {
    const newest = (await this.orders()).at(-1)!
    this.settings = newest.body.settings
    await this.answer(newest)
  }
}

async function watching(id: string, labels: Record<string, string> = {}): Promise<WatchingSite> {
  await addSites(controller.db, [{ id, labels }])
  const site = new WatchingSite(controller, id)
  await site.hello()
  return site
}

test('the digest of the defaults is that of settings that say nothing', async () => {
  expect(await digestOf({})).toBe(defaultsDigest)
})

describe('rules', () => {
  test('are kept, listed by name and removed; the same again changes nothing', async () => {
    const first = await put('shops', { labelSelector: 'kind=shop', settings: { cpu: { major: 80 } } })
    expect([first.status, first.body.version]).toEqual([200, 1])
    expect((await put('shops', { labelSelector: 'kind=shop', settings: { cpu: { major: 80 } } })).body.version).toBe(1)
    expect((await put('shops', { labelSelector: 'kind=shop', settings: { cpu: { major: 85 } }, priority: 5 })).body).toMatchObject({ version: 2, priority: 5 })
    await put('all', { labelSelector: '*', settings: {} })
    const page = (await controller.call('listMonitoringRules', { as: 'viewer', query: { limit: '1' } })).body
    expect([page.items.map(({ name }) => name), (await controller.call('listMonitoringRules', { query: { cursor: page.next! } })).body.items.map(({ name }) => name)]).toEqual([['all'], ['shops']])
    expect((await controller.call('removeMonitoringRule', { as: 'operator', params: { rule: 'shops' } })).status).toBe(204)
    expect((await controller.call('removeMonitoringRule', { as: 'operator', params: { rule: 'shops' } })).status).toBe(404)
    const events = (await controller.call('listEvents', { query: { entity: 'monitoring/shops' } })).body.items
    expect(events.map(({ actor, action }) => `${actor} ${action}`)).toEqual(['token:operator monitoring.created', 'token:operator monitoring.updated', 'token:operator monitoring.removed'])
  })

  test.each<[string, object, string[]]>([
    ['unknown settings', { labelSelector: '*', settings: { cpu: { worst: 1 }, turbo: true } }, ['settings.cpu', 'settings']],
    ['levels in a wrong order', { labelSelector: '*', settings: { cpu: { major: 96 }, certificates: { major: 40 } } }, ['settings.cpu.critical', 'settings.certificates.major']],
    ['an alarm that could never be raised', { labelSelector: '*', settings: { memory: { raiseAfter: 9 } } }, ['settings.memory.raiseAfter']],
    ['a selector nobody can read', { labelSelector: 'a b c', settings: {} }, ['labelSelector']],
    ['a selector that selects nothing (F77)', { labelSelector: ' ', settings: {} }, ['labelSelector']],
    ['more than is sent to a site', { labelSelector: '*', settings: { checks: Array.from({ length: 64 }, (_, i) => ({ type: 'http', name: `check-${i}`, url: `http://x/${'a'.repeat(1200)}` })) } }, ['settings.(settings)']],
  ])('with %s are refused, and every fault is named', async (_, body, paths) => {
    const { status, body: problem } = await controller.call('putMonitoringRule', { params: { rule: 'wrong' }, body })
    expect([status, problem.errors.map((error: { path: string }) => error.path)]).toEqual([400, paths])
    expect((await controller.call('listMonitoringRules')).body.items).toEqual([])
  })

  test('are no more than there may be', async () => {
    const rows = Array.from({ length: limits.monitoringRulesMax }, (_, i) => `rule-${i}`)
    await controller.db.write([{ sql: `INSERT INTO monitoring_rule (name, label_selector, priority, settings, version) SELECT value, 'a', 0, '{}', 1 FROM json_each(?)`, args: [JSON.stringify(rows)] }])
    const { status, body } = await put('one-more', { labelSelector: '*', settings: {} })
    expect([status, body.reason]).toEqual([409, 'too-many'])
    expect((await put('rule-0', { labelSelector: '*', settings: {} })).status).toBe(200)
  })
})

describe('what a site watches', () => {
  test('is what fits it: higher priority over lower, later name over earlier, its own over all', async () => {
    await enrolSites(controller, [{ id: 'kiel', labels: { region: 'north' } }])
    await put('b-north', { labelSelector: 'region=north', settings: { cpu: { major: 70 }, everyS: 30 } })
    await put('a-north', { labelSelector: 'region=north', settings: { cpu: { major: 60, minor: 50 }, everyS: 20 } })
    await put('first', { labelSelector: '*', priority: 9, settings: { everyS: 15 } })
    await put('south', { labelSelector: 'region=south', settings: { everyS: 5 } })
    await own('kiel', { memory: { critical: null } })
    const view = await look('kiel')
    expect(view.rules).toEqual(['a-north', 'b-north', 'first'])
    expect(view.effective).toEqual({ everyS: 15, cpu: { major: 70, minor: 50 }, memory: { critical: null } })
    expect(view).toMatchObject({ held: null, faults: [], digest: await digestOf(view.effective!) })
  })

  test('is refused as its own where it cannot be followed over its rules', async () => {
    await enrolSites(controller, [{ id: 'kiel' }])
    await put('calm', { labelSelector: '*', settings: { cpu: { critical: 97, major: 60 } } })
    const { status, body } = await own('kiel', { cpu: { critical: 50 } })
    expect([status, body.errors.map((error: { path: string }) => error.path)]).toEqual([400, ['cpu.critical']])
    expect((await own('nowhere', {})).status).toBe(404)
    expect((await own('kiel', { cpu: { critical: 98 } })).status).toBe(200)
  })

  test('goes to its agent at once, and is known to be followed when the agent answers, without a new connection', async () => {
    const site = await watching('kiel', { region: 'north' })
    await settle()
    expect([await site.orders(), (await look('kiel')).held]).toEqual([[], true])
    await put('north', { labelSelector: 'region=north', settings: { cpu: { major: 70 } } })
    await controller.settle()
    const [order] = await site.orders()
    expect(order!.body.settings).toEqual({ cpu: { major: 70 } })
    expect((await look('kiel')).held).toBe(false)
    await site.obey()
    expect((await look('kiel')).held).toBe(true)
    await settle()
    controller.clock.advance(3_600_000)
    await settle()
    await site.hello()
    expect(await site.orders()).toHaveLength(1)
    expect(await controller.db.orm.all('SELECT * FROM directive')).toEqual([])
  })

  test('goes to an offline site with its next hello, and again with each while it does not follow', async () => {
    const site = await watching('kiel')
    await settle()
    await site.disconnect()
    await own('kiel', { everyS: 10 })
    await settle()
    expect(await site.orders()).toEqual([])
    for (const times of [1, 2, 3]) {
      await site.hello()
      expect(await site.orders()).toHaveLength(times)
    }
    const positions = (await site.orders()).map(({ position }) => position.generation)
    expect([...new Set(positions)].sort((a, b) => a - b)).toEqual(positions)
    await site.obey()
    await site.hello()
    expect(await site.orders()).toHaveLength(3)
  })

  test('is said again ever more rarely to one that does not answer, or refuses', async () => {
    const site = await watching('kiel')
    await own('kiel', { everyS: 10 })
    const at: number[] = []
    const startMs = controller.clock.nowMs()
    for (let minutes = 0; minutes < 24 * 60; minutes += 5) {
      const before = (await site.orders()).length
      await settle()
      const orders = await site.orders()
      if (orders.length > before) {
        at.push((controller.clock.nowMs() - startMs) / 60_000)
        await site.answer(orders.at(-1)!, 'refused')
      }
      controller.clock.advance(5 * 60_000)
    }
    expect(at).toEqual([0, 10, 30, 70, 150, 310, 630, 1270])
    expect((await look('kiel')).held).toBe(false)
  })

  test('is never sent to an agent that does not say what it follows (an older one)', async () => {
    const fleet = await enrolSites(controller, [{ id: 'kiel' }])
    await own('kiel', { everyS: 10 })
    await settle()
    await fleet.get('kiel')!.connect()
    expect(await fleet.get('kiel')!.directives('command')).toEqual([])
    expect((await look('kiel')).held).toBeNull()
  })

  test('is told once, whoever runs at the same time and however often (F48)', async () => {
    const sites = await Promise.all(['a', 'b', 'c'].map((id) => watching(id)))
    await put('all', { labelSelector: '*', settings: { everyS: 10 } })
    await controller.settle()
    await controller.db.write([{ sql: 'DELETE FROM directive', args: [] }, { sql: 'UPDATE site SET monitoring_held = ?, monitoring_checked = 0, monitoring_wanted = NULL, monitoring_due_ms = 0, monitoring_tries = 0', args: [defaultsDigest] }])
    const before = (await sites[0]!.orders()).length
    await Promise.all([workOutSites(controller.context()), workOutSites(controller.context())])
    await Promise.all([tellMonitoring(controller.context()), tellMonitoring(controller.context())])
    await settle()
    await settle()
    for (const site of sites) expect(await site.orders()).toHaveLength(before + 1)
    expect(await controller.db.orm.all('SELECT DISTINCT monitoring_tries FROM site')).toEqual([{ monitoring_tries: 1 }])
  })

  test('is known of every site whose answer comes in the same batch', async () => {
    const sites = await Promise.all(['a', 'b', 'c'].map((id) => watching(id)))
    await put('all', { labelSelector: '*', settings: { everyS: 10 } })
    await settle()
    const answers = await Promise.all(sites.map(async (site) => site.message({ kind: 'answer', command: (await site.orders()).at(-1)!.id, result: 'done', detail: '' })))
    await receiveReports(controller.context(), answers)
    expect(await Promise.all(sites.map(async ({ id }) => (await look(id)).held))).toEqual([true, true, true])
  })

  test('is worked out anew when its labels change or a rule goes', async () => {
    const site = await watching('kiel', { region: 'north' })
    await put('north', { labelSelector: 'region=north', settings: { cpu: { major: 70 } } })
    await settle()
    await site.obey()
    await controller.call('updateSite', { params: { site: 'kiel' }, body: { labels: { region: 'south' } } })
    await settle()
    expect((await site.orders()).at(-1)!.body.settings).toEqual({})
    await site.obey()
    expect(await look('kiel')).toMatchObject({ held: true, rules: [] })
    await controller.call('updateSite', { params: { site: 'kiel' }, body: { labels: { region: 'north' } } })
    await settle()
    await site.obey()
    await controller.call('removeMonitoringRule', { params: { rule: 'north' } })
    await settle()
    expect((await site.orders()).at(-1)!.body.settings).toEqual({})
    expect(await site.orders()).toHaveLength(4)
  })

  test('is told to an agent that is enrolled anew, which follows nothing of what the one before did', async () => {
    const site = await watching('kiel')
    await own('kiel', { everyS: 10 })
    await settle()
    await site.obey()
    const { claim } = (await controller.call('claimSite', { params: { site: 'kiel' } })).body
    expect((await controller.call('enrol', { as: null, body: await enrolBody(await makeKey('kiel'), 'kiel', claim) })).status).toBe(201)
    expect((await look('kiel')).held).toBeNull()
    Object.assign(site, { incarnation: 2, seq: 0, settings: null })
    await settle()
    await site.hello()
    expect(await site.orders()).toMatchObject([{ incarnation: 1 }, { incarnation: 2, body: { settings: { everyS: 10 } } }])
    await site.obey()
    expect((await look('kiel')).held).toBe(true)
  })

  test('does not count as followed because of an answer to what was wanted before', async () => {
    const site = await watching('kiel')
    await own('kiel', { everyS: 10 })
    await settle()
    const [first] = await site.orders()
    await own('kiel', { everyS: 20 })
    await settle()
    await site.answer(first!)
    expect((await look('kiel')).held).toBe(false)
    // back to what it said it followed at first, while an order for something else may still be obeyed
    await own('kiel', {})
    await settle()
    expect((await site.orders()).map(({ body }) => body.settings)).toEqual([{ everyS: 10 }, { everyS: 20 }, {}])
    await site.obey()
    expect((await look('kiel')).held).toBe(true)
  })

  test('stays as it was while rules cannot be followed together, and that is said', async () => {
    const site = await watching('kiel')
    const paths = (from: number) => Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`/mnt/${from + i}`, { major: 50 }]))
    await put('one', { labelSelector: '*', settings: { filesystem: { paths: paths(0) } } })
    await settle()
    await site.obey()
    await put('two', { labelSelector: '*', settings: { filesystem: { paths: paths(20) } } })
    await settle()
    expect(await look('kiel')).toMatchObject({ rules: ['one', 'two'], faults: [{ path: 'filesystem.paths' }], effective: null, held: false })
    expect(controller.logs).toContainEqual(expect.objectContaining({ event: 'monitoring.cannot-be-followed' }))
    expect(await site.orders()).toHaveLength(1)
    await controller.call('removeMonitoringRule', { params: { rule: 'two' } })
    await settle()
    expect([(await look('kiel')).held, await site.orders()]).toEqual([true, expect.objectContaining({ length: 1 })])
  })

  test('reaches a large fleet a bounded step at a time, and then costs nothing', async () => {
    await addSites(controller.db, Array.from({ length: 1200 }, (_, i) => ({ id: `site-${i}` })))
    await controller.db.write([{ sql: `UPDATE site SET presence = 'online', monitoring_held = ?`, args: [defaultsDigest] }])
    await put('all', { labelSelector: '*', settings: { everyS: 10 } })
    await controller.settle()
    const looked = [await workOutSites(controller.context()), await workOutSites(controller.context()), await workOutSites(controller.context())]
    expect(looked).toEqual([500, 200, 0])
    let told = 0
    for (let n = 1; n > 0; told += n) n = await tellMonitoring(controller.context())
    expect(await controller.db.orm.all(`SELECT count(*) AS n FROM directive WHERE slot = 'command/monitoring'`)).toEqual([{ n: 1200 }])
    expect(told).toBe(1000)
  })
})

test('settings over settings: objects are merged, lists replaced', () => {
  expect(mergeMonitoring({ clock: { servers: ['a', 'b'], minor: 5 } }, { clock: { servers: ['c'] } })).toEqual({ clock: { servers: ['c'], minor: 5 } })
})

describe('a node that is locked', () => {
  const lock = (node: string, reason = 'new disk', site = 'kiel') => controller.call('lockNode', { as: 'operator', params: { site, node }, body: { reason } })
  const unlock = (node: string, site = 'kiel') => controller.call('unlockNode', { as: 'operator', params: { site, node } })
  const standing = () => controller.db.orm.all(`SELECT entity, text FROM alarm WHERE alarm_id = '200.007' AND cleared_ms IS NULL ORDER BY entity`)

  test('is shown at its site with an alarm until it is unlocked, and the same again changes nothing', async () => {
    await enrolSites(controller, [{ id: 'kiel' }])
    const { status, body } = await lock('node-1')
    expect([status, body.locks]).toEqual([200, [{ node: 'node-1', reason: 'new disk', by: 'token:operator', at: new Date(controller.clock.nowMs()).toISOString() }]])
    const { version, locks } = (await controller.call('getSite', { params: { site: 'kiel' } })).body
    expect(locks).toEqual(body.locks)
    expect((await lock('node-1')).body).toEqual(body)
    await lock('node-2', 'power')
    expect(await standing()).toEqual([{ entity: 'node=node-1', text: 'node-1 is locked by token:operator: new disk' }, { entity: 'node=node-2', text: 'node-2 is locked by token:operator: power' }])
    await lock('node-1', 'new disk and fan')
    expect((await standing())[0]).toMatchObject({ text: expect.stringContaining('fan') })
    expect((await unlock('node-1')).body.locks.map(({ node }) => node)).toEqual(['node-2'])
    expect((await unlock('node-1')).body.locks).toHaveLength(1)
    expect(await standing()).toEqual([{ entity: 'node=node-2', text: 'node-2 is locked by token:operator: power' }])
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body.version).toBe(version + 3)
    const actions = (await controller.call('listEvents', { query: { entity: 'site/kiel' } })).body.items.map(({ action }) => action)
    expect(actions.filter((action) => /lock/.test(action))).toEqual(['site.locked', 'site.locked', 'site.locked', 'site.unlocked'])
  })

  test('keeps what the work brings about silent, and lets it be announced when it stays after the work', async () => {
    const site = (await enrolSites(controller, [{ id: 'kiel' }])).get('kiel')!
    await lock('node-1')
    const raise = (node: string) => site.say({ kind: 'alarm', alarmId: '120.001', entity: `node=${node}.unit=till.service`, raised: true, severity: 'major', text: 'failed' })
    await raise('node-1')
    await raise('node-2')
    const states = async () => (await controller.call('listAlarms', { query: { alarmId: '120.001', all: 'true' } })).body.items.map(({ entity, state }) => `${entity.slice(5, 11)} ${state}`).sort()
    expect(await states()).toEqual(['node-1 silenced', 'node-2 active'])
    await unlock('node-1')
    expect(await states()).toEqual(['node-1 active', 'node-2 active'])
  })

  test('must be one that the site has, as far as it has said', async () => {
    const site = (await enrolSites(controller, [{ id: 'kiel' }])).get('kiel')!
    await site.say({ ...site.helloBody(), nodes: [{ name: 'node-1', personality: 'controller', operational: 'enabled', release: null, mixed: false }] } as ReportBody)
    expect((await lock('node-1')).status).toBe(200)
    const { status, body } = await lock('node-9')
    expect([status, body.detail]).toEqual([404, 'kiel has no node node-9; it has node-1'])
    expect((await lock('node-1', 'x', 'nowhere')).status).toBe(404)
    expect((await unlock('node-1', 'nowhere')).status).toBe(404)
  })
})
