import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Statement } from '../../db/client.ts'
import { announceAlarms } from '../../functions/alarm/announce.ts'
import { clearConditions, raiseConditions } from '../../functions/alarm/record-conditions.ts'
import { settleAlarms } from '../../functions/alarm/settle.ts'
import { foldReports } from '../../functions/ingest/fold.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { recordReports } from '../../functions/ingest/record.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { Report, type StandingAlarm } from '../../protocol/reports.ts'
import type { Severity } from '../../protocol/states.ts'
import { fleet, startController, type Controller } from '../support/controller.ts'
import { addSites } from '../support/practice-fleet.ts'
import { PracticeSite } from '../support/practice-site.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
  await addSites(controller.db, [{ id: 'kiel' }, { id: 'husum' }])
  await controller.db.write([{ sql: `UPDATE site SET presence = 'online'`, args: [] }])
})
afterEach(() => controller.close())

const disk = '100.003'
type Body = Record<string, unknown>
const report = (seq: number, body: Body, site = 'kiel', incarnation = 1): Report =>
  Report.parse({ v: 1, fleet, site, incarnation, bootId: 'ab'.repeat(16), seq, sentAtMs: controller.clock.nowMs(), body })
const alarm = (entity: string, raised = true, more: Body = {}): Body => ({ kind: 'alarm', alarmId: disk, entity, raised, severity: 'major', text: `${entity} is full`, ...more })
const standing = (entity: string, more: Partial<StandingAlarm> = {}): StandingAlarm => ({ alarmId: disk, entity, severity: 'major', text: `${entity} is full`, sinceMs: controller.clock.nowMs(), ...more })
const metrics = (alarms: readonly StandingAlarm[]): Body => ({ kind: 'metrics', block: { startMs: Math.floor(controller.clock.nowMs() / limits.metricBlockMs) * limits.metricBlockMs, stepS: 60, nodes: [] }, alarms })
const whole = (alarms: readonly StandingAlarm[]): Body => ({ kind: 'standing', alarms, monitoring: null })
const hello = (protocolMax: number): Body => ({
  kind: 'hello', connectionId: 'cd'.repeat(16), agentVersion: '1', protocol: { min: 1, max: protocolMax }, architecture: 'x86_64', held: { desired: null, newest: null }, trustVersion: 1, clockTrusted: true,
  running: null, previous: null, staged: null, attempt: null, nodes: [],
})
const take = (...reports: Report[]) => controller.db.write(recordReports(controller.context(), foldReports(reports)))
const rowsOf = async (sql: string): Promise<Record<string, any>[]> => (await controller.db.write([{ sql, args: [] }]))[0]!.rows.map((row) => ({ ...row }))
const stands = async (site = 'kiel'): Promise<string[]> => (await rowsOf(`SELECT entity FROM alarm WHERE site_id = '${site}' AND cleared_ms IS NULL ORDER BY entity`)).map(({ entity }) => entity)
const events = async (): Promise<string[]> => (await rowsOf('SELECT change, entity, silenced FROM alarm_event ORDER BY seq')).map(({ change, entity, silenced }) => `${change} ${entity}${silenced === 1 ? ' silently' : ''}`)

describe('single alarms of a site', () => {
  test('are raised and cleared by sequence, whatever comes late or twice (F36, F49)', async () => {
    await take(report(5, alarm('/var')))
    await take(report(5, alarm('/var')), report(4, alarm('/var', false)))
    expect(await stands()).toEqual(['/var'])
    await take(report(7, alarm('/var', false)))
    await take(report(6, alarm('/var')))
    expect([await stands(), await events()]).toEqual([[], ['raised /var', 'cleared /var']])
  })

  test('of which the end comes first are not raised afterwards', async () => {
    await take(report(2, alarm('/var', false)))
    await take(report(1, alarm('/var')))
    expect([await stands(), await events()]).toEqual([[], []])
  })

  test('are as old as their site says, where that can be', async () => {
    const nowMs = controller.clock.nowMs()
    for (const [i, sinceMs] of [0, 4_102_444_800_000, nowMs - 60_000, nowMs + 60_000].entries()) await take(report(i + 1, alarm(String(i), true, { sinceMs })))
    expect((await rowsOf('SELECT site_ms FROM alarm ORDER BY entity')).map((row) => row.site_ms)).toEqual([null, null, nowMs - 60_000, nowMs + 60_000])
  })

  test('that only the controller can find out are not taken from a site', async () => {
    await take(report(1, metrics([standing('site', { alarmId: alarmIds.agentTooOld })])), report(2, alarm('site', true, { alarmId: alarmIds.siteOffline })))
    expect(await stands()).toEqual([])
    expect(controller.logs.filter(({ event }) => event === 'alarm.not-a-sites')).toHaveLength(2)
  })

  test('of ids and names that nobody knows are kept', async () => {
    await take(report(1, alarm('', true, { alarmId: '' })), report(2, alarm('a\0b', true, { alarmId: 'x'.repeat(20) })))
    expect(await stands()).toEqual(['-', 'a\uFFFDb'])
    const { items } = (await controller.call('listAlarms')).body
    expect(items.map(({ catalogue }) => catalogue)).toEqual([null, null])
    for (const { site, alarmId, entity } of items) expect((await controller.call('acknowledgeAlarm', { body: { site, alarmId, entity } })).status).toBe(200)
  })

  test('come from who is enrolled now: what an earlier agent sealed changes nothing, and a new one counts anew (F31)', async () => {
    await take(report(900, alarm('/var')))
    await controller.db.write([{ sql: `UPDATE site SET incarnation = 2, hello_seq = 0 WHERE id = 'kiel'`, args: [] }])
    await take(report(901, alarm('/var', false)), report(902, alarm('/tmp')))
    expect(await stands()).toEqual(['/var'])
    await take(report(1, alarm('/var', false), 'kiel', 2))
    expect(await stands()).toEqual([])
  })

  test('gate by the catalogue, or when they are critical and not in it', async () => {
    await take(report(1, alarm('a', true, { severity: 'critical' })), report(2, alarm('b')), report(3, alarm('c', true, { alarmId: alarmIds.clock, severity: 'critical' })), report(4, alarm('d', true, { alarmId: '999.9', severity: 'critical' })))
    expect((await rowsOf('SELECT gating FROM alarm ORDER BY entity')).map((row) => row.gating)).toEqual([1, 0, 0, 1])
  })
})

describe('what stands at a site, said as a whole', () => {
  test.each(['standing', 'metrics'])('in a report of the kind %s clears what is not in it, raises what is, and writes nothing without news', async (kind) => {
    const snapshot = (seq: number, alarms: readonly StandingAlarm[]) => report(seq, kind === 'standing' ? whole(alarms) : metrics(alarms))
    await take(report(1, alarm('/var')), report(2, alarm('/tmp')))
    await take(snapshot(3, [standing('/tmp'), standing('/opt')]))
    expect(await stands()).toEqual(['/opt', '/tmp'])
    const before = await rowsOf('SELECT * FROM alarm ORDER BY entity')
    controller.clock.advance(60_000)
    await take(snapshot(4, [standing('/opt'), standing('/tmp')]))
    expect(await rowsOf('SELECT * FROM alarm ORDER BY entity')).toEqual(before)
    expect(await events()).toEqual(['raised /tmp', 'raised /var', 'cleared /var', 'raised /opt'])
  })

  test('voids what was said before it, and comes to nothing itself when a newer one is known', async () => {
    await take(report(9, whole([standing('/var')])))
    await take(report(8, alarm('/var', false)), report(7, alarm('/tmp')))
    await take(report(6, metrics([standing('/opt')])))
    expect(await stands()).toEqual(['/var'])
    await take(report(10, alarm('/var', false)), report(11, alarm('/tmp')))
    expect(await stands()).toEqual(['/tmp'])
  })

  test('leaves what others found out, and what its agent says only once', async () => {
    await controller.call('raiseAlarm', { body: { site: 'kiel', alarmId: '900.1', entity: 'tool', severity: 'minor', text: '' } })
    await controller.db.write(raiseConditions(controller.context(), values(['kiel', alarmIds.siteOffline, 'site', 'major', 'gone'])))
    await take(report(2, alarm('kiel', true, { alarmId: alarmIds.duplicateIdentity, severity: 'critical' })))
    await take(report(1, { kind: 'rejected', reason: 'bad-signature', directive: 'grant', position: null, held: null, deployment: null, attempt: null, detail: '' }), report(3, metrics([])))
    expect(await stands()).toEqual(['bad-signature', 'kiel', 'site', 'tool'])
  })

  test('is not asked of an agent that cannot say it', async () => {
    await take(report(1, alarm('/var')))
    await take(report(2, hello(1)))
    expect(await stands()).toEqual(['/var'])
    await take(report(4, hello(1)))
    await take(report(3, alarm('/var', false)))
    expect(await stands()).toEqual([])
  })

  test('comes to the same in any order, in any parts and with repeats (F36, F49)', async () => {
    const severity = (chance: () => number): Severity => (chance() < 0.5 ? 'major' : 'minor')
    const chance = seededFractions(7)
    for (let round = 0; round < 15; round++) {
      const site = `site-${round}`
      const said = Array.from({ length: 9 }, (_, i): Report => {
        const some = ['a', 'b', 'c'].filter(() => chance() < 0.5)
        const text = `said by ${i}`
        if (i === 3) return report(i + 1, whole(some.map((entity) => standing(entity, { severity: severity(chance), text }))), site)
        if (i === 6) return report(i + 1, metrics(some.map((entity) => standing(entity, { severity: severity(chance), text }))), site)
        return report(i + 1, alarm(['a', 'b', 'c'][Math.floor(chance() * 3)]!, chance() < 0.6, { severity: severity(chance), text }), site)
      })
      const outcomes: unknown[] = []
      for (const way of ['in order', 'shuffled', 'shuffled again']) {
        await controller.db.write([{ sql: 'DELETE FROM alarm', args: [] }, { sql: 'DELETE FROM metric_block', args: [] }, { sql: 'DELETE FROM site WHERE id = ?', args: [site] }])
        await addSites(controller.db, [{ id: site }])
        const repeated = way === 'in order' ? [...said] : said.flatMap((each) => Array.from({ length: 1 + Math.floor(chance() * 2) }, () => each)).map((each) => ({ each, at: chance() })).sort((x, y) => x.at - y.at).map(({ each }) => each)
        while (repeated.length > 0) await take(...repeated.splice(0, 1 + Math.floor(chance() * 3)))
        outcomes.push(await rowsOf('SELECT alarm_id, entity, severity, text FROM alarm WHERE cleared_ms IS NULL ORDER BY entity'))
      }
      expect(outcomes[1], `round ${round}`).toEqual(outcomes[0])
      expect(outcomes[2], `round ${round}`).toEqual(outcomes[0])
    }
  })
})

describe('too many', () => {
  test('alarms of one site in a second are bounded, said to be too many, and harm no other site', async () => {
    let seq = 0
    for (let batch = 0; batch < 20; batch++) {
      await take(...Array.from({ length: 500 }, () => report(++seq, alarm(`e${seq}`, true, { severity: seq % 100 === 0 ? 'critical' : 'minor' }))), report(batch + 1, alarm('/var'), 'husum'))
    }
    expect(await rowsOf(`SELECT count(*) AS n FROM alarm WHERE site_id = 'kiel'`)).toEqual([{ n: limits.alarmsPerSiteMax + 1 }])
    expect(await rowsOf(`SELECT count(*) AS n FROM alarm WHERE severity = 'critical'`)).toEqual([{ n: 5 }])
    expect((await controller.call('listAlarms', { query: { alarmId: alarmIds.tooMany } })).body.items).toMatchObject([{ site: 'kiel', source: 'controller', text: '500 more were raised than are kept' }])
    expect(await stands('husum')).toEqual(['/var'])
    const writes = await rowsOf('SELECT count(*) AS n FROM alarm_event')
    expect(writes[0]!.n).toBeLessThan(300)
    await take(report(++seq, metrics([standing('e7', { severity: 'minor', text: 'e7 is full' })])))
    expect(await stands()).toEqual(['e7'])
  })

  test('is said by the controller of what it does not keep, and by a site of what it does not tell: neither ends the other', async () => {
    const tooMany = { alarmId: alarmIds.tooMany, severity: 'major' as const, text: 'some are not told' }
    const source = async () => (await rowsOf(`SELECT source FROM alarm WHERE alarm_id = '${alarmIds.tooMany}' AND cleared_ms IS NULL`)).map((row) => row.source)
    const many = Array.from({ length: 300 }, (_, i) => `e${i}`)
    await take(report(1, alarm('site', true, tooMany)))
    expect(await source()).toEqual(['site'])
    await take(...many.map((entity, i) => report(2 + i, alarm(entity))))
    await take(report(400, alarm('site', false, tooMany)))
    await take(report(401, metrics(many.slice(0, 256).map((entity) => standing(entity)))))
    expect(await source()).toEqual(['controller'])
    for (const seq of [402, 403]) await take(report(seq, metrics([standing('e0'), standing('site', tooMany)])))
    expect(await source()).toEqual(['site'])
    await take(report(404, metrics([])))
    expect(await source()).toEqual([])
  })

  test('alarms that a site raises and clears by the thousand are written up to a limit, and again when it has calmed down', async () => {
    await take(report(1, whole([])))
    for (let batch = 0; batch < 40; batch++) {
      const raised = batch % 2 === 0
      await take(...Array.from({ length: 200 }, (_, i) => report(2 + batch * 200 + i, alarm(`e${batch - (raised ? 0 : 1)}-${i}`, raised))))
    }
    expect((await rowsOf('SELECT count(*) AS n FROM alarm_event'))[0]!.n).toBeLessThan(limits.alarmChangesPerSiteMax + 2 * limits.alarmsPerSiteMax)
    expect(await stands()).toEqual(['site'])
    await take(report(9000, metrics([standing('/var')])))
    expect(await stands()).toEqual(['site'])
    controller.clock.advance(limits.alarmFlapWindowMs)
    await take(report(9001, metrics([standing('/var')])))
    expect(await stands()).toEqual(['/var'])
  })

  test('ends of alarms that nobody knew fill nothing up', async () => {
    for (let batch = 0; batch < 4; batch++) await take(...Array.from({ length: 500 }, (_, i) => report(1 + batch * 500 + i, alarm(`e${batch}-${i}`, false))))
    const [{ n } = { n: 0 }] = await rowsOf('SELECT count(*) AS n FROM alarm')
    expect(n).toBeLessThan(4 * limits.alarmsPerSiteMax + 500)
    await take(report(9000, alarm('/var')))
    expect(await stands()).toEqual(['/var'])
  })
})

describe('one that comes and goes', () => {
  const flap = async (times: number, from = 1) => {
    for (let i = 0; i < times; i++) {
      await take(report(from + 2 * i, alarm('/var')))
      await take(report(from + 2 * i + 1, alarm('/var', false)))
      controller.clock.advance(1000)
    }
  }

  test('too often stands on, is written no more, and is settled by the next snapshot (F46)', async () => {
    await take(report(1, hello(2)), report(2, whole([])))
    await flap(100, 3)
    expect(await rowsOf('SELECT count(*) AS n FROM alarm_event')).toEqual([{ n: 2 * limits.alarmFlapsMax + 1 }])
    const frozen = await rowsOf('SELECT * FROM alarm')
    await flap(100, 300)
    expect(await rowsOf('SELECT * FROM alarm')).toEqual(frozen)
    expect((await controller.call('listAlarms')).body.items).toMatchObject([{ flapping: true }])
    await take(report(600, metrics([])))
    expect(await stands()).toEqual(['/var'])
    controller.clock.advance(limits.alarmFlapWindowMs)
    expect(await settleAlarms(controller.context())).toEqual({ settled: 1 })
    expect((await controller.call('listAlarms')).body.items).toMatchObject([{ flapping: false }])
    await take(report(601, metrics([])))
    expect(await stands()).toEqual([])
  })

  test('too often at a site that sends no snapshots is settled by what was said last', async () => {
    await flap(20)
    expect(await stands()).toEqual(['/var'])
    controller.clock.advance(limits.alarmFlapWindowMs)
    expect(await settleAlarms(controller.context())).toEqual({ settled: 1 })
    expect(await settleAlarms(controller.context())).toEqual({ settled: 0 })
    expect(await stands()).toEqual([])
    await flap(20, 100)
    await take(report(200, alarm('/var')))
    controller.clock.advance(limits.alarmFlapWindowMs)
    await settleAlarms(controller.context())
    expect(await stands()).toEqual(['/var'])
  })

  test('too often and got worse is said to be worse, and a person may clear it at any time', async () => {
    await take(report(1, whole([])))
    await flap(20, 2)
    await take(report(100, alarm('/var', true, { severity: 'critical' })))
    await take(report(101, alarm('/var', true, { severity: 'minor' })))
    expect((await controller.call('listAlarms')).body.items).toMatchObject([{ severity: 'critical', gating: true }])
    expect((await controller.call('clearAlarm', { body: { site: 'kiel', alarmId: disk, entity: '/var' } })).body).toEqual({ cleared: true })
  })

  test('between two severities is written no more often', async () => {
    for (let seq = 1; seq < 200; seq++) await take(report(seq, alarm('/var', true, { severity: seq % 2 === 0 ? 'major' : 'critical' })))
    expect((await rowsOf('SELECT count(*) AS n FROM alarm_event'))[0]!.n).toBeLessThanOrEqual(limits.alarmFlapsMax + 2)
  })
})

/** Rows of conditions, as a SELECT. */
const values = (...rows: string[][]): Statement => ({
  sql: `SELECT value->>0 AS site_id, value->>1 AS alarm_id, value->>2 AS entity, value->>3 AS severity, value->>4 AS text FROM json_each(?)`,
  args: [JSON.stringify(rows)],
})

describe('conditions that the controller finds', () => {
  const offline = (text = 'gone'): Statement => values(['kiel', alarmIds.siteOffline, 'site', 'major', text])
  const raise = (rows: Statement) => controller.db.write(raiseConditions(controller.context(), rows))
  const clear = (rows: Statement) => controller.db.write(clearConditions(controller.context(), rows))

  test('stand as long as they hold, and are written when something about them is new', async () => {
    await raise(offline())
    const first = await rowsOf('SELECT * FROM alarm')
    controller.clock.advance(60_000)
    await raise(offline())
    expect(await rowsOf('SELECT * FROM alarm')).toEqual(first)
    await raise(offline('long gone'))
    expect(await rowsOf('SELECT text, raised_ms FROM alarm')).toEqual([{ text: 'long gone', raised_ms: first[0]!.raised_ms }])
    await clear(offline())
    await clear(offline())
    expect([await stands(), await events()]).toEqual([[], ['raised site', 'cleared site']])
  })

  test('that come and go too often end when they have been quiet, by what was found last', async () => {
    for (let i = 0; i < 50; i++) {
      await raise(offline())
      await clear(offline())
    }
    expect((await events()).length).toBe(2 * limits.alarmFlapsMax + 1)
    expect(await stands()).toEqual(['site'])
    await raise(offline())
    controller.clock.advance(limits.alarmFlapWindowMs)
    await settleAlarms(controller.context())
    expect(await stands()).toEqual(['site'])
    await clear(offline())
    expect(await stands()).toEqual([])
  })

  test('suppress what else is said of their site, and not themselves', async () => {
    await take(report(1, alarm('/var')))
    await controller.call('raiseAlarm', { body: { site: 'kiel', alarmId: '900.1', entity: 'tool', severity: 'minor', text: '' } })
    await raise(offline())
    const states = async (presence: string) => {
      await controller.db.write([{ sql: `UPDATE site SET presence = ? WHERE id = 'kiel'`, args: [presence] }])
      return Object.fromEntries((await controller.call('listAlarms', { query: { all: 'true' } })).body.items.map(({ entity, state }) => [entity, state]))
    }
    expect(await states('online')).toEqual({ '/var': 'active', tool: 'active', site: 'active' })
    for (const presence of ['offline', 'suspect']) expect(await states(presence)).toEqual({ '/var': 'suppressed', tool: 'active', site: 'active' })
    expect((await controller.call('listAlarms')).body.items.map(({ entity }) => entity).sort()).toEqual(['site', 'tool'])
    expect((await controller.call('getSummary')).body.alarms.major).toMatchObject({ active: 2 })
  })
})

describe('while somebody works there', () => {
  const lock = (...nodes: string[]) => controller.db.write([{ sql: `UPDATE site SET locks = ? WHERE id = 'kiel'`, args: [JSON.stringify(nodes.map((node) => ({ node, reason: '', by: '', atMs: 0 })))] }])
  const cpu = { alarmId: alarmIds.cpu }

  test('at a node, what that brings about is silent, and is announced if it stays', async () => {
    await lock('n1')
    await take(report(1, alarm('node=n1', true, cpu)), report(2, alarm('node=n10', true, cpu)), report(3, alarm('node=n1.unit=x', true, { alarmId: alarmIds.unit })), report(4, alarm('check=x', true, { alarmId: alarmIds.check })), report(5, alarm('node=n1.filesystem=/')))
    expect((await events()).sort()).toEqual(['raised check=x silently', 'raised node=n1 silently', 'raised node=n1.filesystem=/', 'raised node=n1.unit=x silently', 'raised node=n10'])
    expect((await controller.call('listAlarms')).body.items.map(({ entity }) => entity).sort()).toEqual(['node=n1.filesystem=/', 'node=n10'])
    await take(report(6, alarm('check=x', false, { alarmId: alarmIds.check })))
    expect((await events()).at(-1)).toBe('cleared check=x silently')
    expect(await announceAlarms(controller.context())).toEqual({ announced: 0 })
    await lock('n2')
    expect(await announceAlarms(controller.context())).toEqual({ announced: 2 })
    expect((await events()).slice(-2).sort()).toEqual(['raised node=n1', 'raised node=n1.unit=x'])
    expect(await announceAlarms(controller.context())).toEqual({ announced: 0 })
  })

  test('a deployment, too', async () => {
    const place = (state: string) => controller.db.write([{
      sql: `INSERT INTO deployment (rollout_id, site_id, wave, place, grp, state, attempt, failures, seq, seq_incarnation, why, not_before_ms, abort_acknowledged, updated_ms) VALUES ('r', 'kiel', 0, 0, '', ?, 1, 0, 0, 0, '', 0, 0, 0)
            ON CONFLICT (rollout_id, site_id) DO UPDATE SET state = excluded.state`,
      args: [state],
    }])
    await place('running')
    await take(report(1, alarm('node=n1', true, cpu)))
    await place('succeeded')
    await take(report(2, alarm('node=n1', true, cpu)))
    expect(await events()).toEqual(['raised node=n1 silently', 'raised node=n1'])
  })

  test('a fleet of them is gone through in parts', async () => {
    const sites = Array.from({ length: 450 }, (_, i) => `s${String(i).padStart(3, '0')}`)
    await addSites(controller.db, sites.map((id) => ({ id })))
    await controller.db.write([{ sql: `UPDATE site SET locks = '[{"node":"n1"}]' WHERE id LIKE 's%'`, args: [] }])
    await take(...sites.map((site) => report(1, alarm('node=n1', true, cpu), site)))
    await controller.db.write([{ sql: `UPDATE site SET locks = '[]' WHERE id = 's449'`, args: [] }])
    const announced: number[] = []
    for (let run = 0; run < 4; run++) announced.push((await announceAlarms(controller.context())).announced)
    expect(announced).toEqual([0, 0, 1, 0])
  })
})

test('the numbers of the summary are those of a count, whatever happened (I12)', async () => {
  const chance = seededFractions(11)
  const pick = <T>(some: readonly T[]): T => some[Math.floor(chance() * some.length)]!
  for (let seq = 1; seq <= 300; seq++) {
    const [site, entity] = [pick(['kiel', 'husum']), pick(['a', 'b', 'c'])]
    const identity = { site, alarmId: disk, entity }
    await pick([
      () => take(report(seq, alarm(entity, chance() < 0.6, { severity: pick(['critical', 'major', 'minor', 'warning']) }), site)),
      () => take(report(seq, metrics(['a', 'b', 'c'].filter(() => chance() < 0.5).map((each) => standing(each, { severity: pick(['critical', 'minor']) }))), site)),
      () => controller.call('acknowledgeAlarm', { body: identity }),
      () => controller.call('clearAlarm', { body: identity }),
      () => controller.call('shelveAlarm', { body: { ...identity, duration: '1h', reason: 'x' } }),
      () => controller.call('unshelveAlarm', { body: identity }),
      () => controller.db.write([{ sql: `UPDATE site SET presence = ? WHERE id = ?`, args: [pick(['online', 'offline', 'unknown', 'suspect']), site] }]),
      async () => void controller.clock.advance(pick([1000, limits.alarmFlapWindowMs])),
      () => settleAlarms(controller.context()),
    ])()
  }
  const kept = await rowsOf('SELECT kind, key, n FROM tally WHERE n <> 0 ORDER BY kind, key')
  const counted = await rowsOf(`
    SELECT 'alarm' AS kind, severity || '/' || CASE WHEN shelved_until_ms IS NOT NULL THEN 'shelved' WHEN silenced = 1 THEN 'silenced' WHEN acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'active' END AS key, count(*) AS n
    FROM alarm WHERE cleared_ms IS NULL GROUP BY 2 UNION ALL SELECT 'site', presence, count(*) FROM site GROUP BY 2 ORDER BY 1, 2`)
  expect(kept).toEqual(counted)
})

test('functions of 0.1.0 and these work on the same rows: each raises and clears what the other left (F57)', async () => {
  const old = (raised: number, seq: number): Statement => ({
    sql: `INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq)
          SELECT 'kiel', '${disk}', '/var', 'major', 'full', 0, ?1, CASE WHEN ?2 THEN NULL ELSE ?1 END, ?3 WHERE true
          ON CONFLICT (site_id, alarm_id, entity) DO UPDATE SET severity = excluded.severity, text = excluded.text, gating = excluded.gating, seq = excluded.seq,
            raised_ms = CASE WHEN alarm.cleared_ms IS NULL THEN alarm.raised_ms ELSE excluded.raised_ms END, cleared_ms = excluded.cleared_ms
          WHERE excluded.seq > alarm.seq`,
    args: [controller.clock.nowMs(), raised, seq],
  })
  await controller.db.write([old(1, 1)])
  expect((await controller.call('listAlarms')).body.items).toMatchObject([{ entity: '/var', state: 'active' }])
  await take(report(2, alarm('/var', false)))
  await controller.db.write([old(1, 3)])
  expect(await stands()).toEqual(['/var'])
  await take(report(4, alarm('/var')))
  await controller.db.write([old(0, 5)])
  expect([await stands(), await events()]).toEqual([[], ['raised /var', 'cleared /var', 'raised /var', 'cleared /var']])
  // and a snapshot ends what they took from the site, but not what somebody raised by hand there
  await controller.db.write([{ ...old(1, 6), sql: old(1, 6).sql.replace("'/var'", "'/opt'") }, { ...old(1, 0), sql: old(1, 0).sql.replace("'/var'", "'by hand'") }])
  await take(report(7, whole([])))
  expect(await stands()).toEqual(['by hand'])
})

test('a message that says what cannot be is refused by itself, and says why; others of its batch are taken', async () => {
  const [kiel, husum] = [new PracticeSite(controller, 'kiel'), new PracticeSite(controller, 'husum')]
  const wrong = [{ severity: 'fatal' }, { text: 'x'.repeat(1_000_000) }, { text: 'x'.repeat(501) }, { entity: 'x'.repeat(201) }, { sinceMs: -1 }]
  const messages = await Promise.all([...wrong.map((more) => kiel.message(alarm('/var', true, more) as never)), husum.message(alarm('/opt') as never)])
  const { accepted, refused } = await receiveReports(controller.context(), messages)
  expect([accepted, refused.map(({ index }) => index)]).toEqual([1, [0, 1, 2, 3, 4]])
  expect(refused[0]!.reason).toContain('severity')
  expect([await stands(), await stands('husum')]).toEqual([[], ['/opt']])
})
