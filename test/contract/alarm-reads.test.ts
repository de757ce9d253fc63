import { expect } from 'vitest'
import { startMeter, type Meter, type Rows } from '../../bench/cost/meter.ts'
import { announceAlarms } from '../../functions/alarm/announce.ts'
import { endShelves } from '../../functions/alarm/end-shelves.ts'
import { expireAlarms } from '../../functions/alarm/expire.ts'
import { settleAlarms } from '../../functions/alarm/settle.ts'
import { foldReports } from '../../functions/ingest/fold.ts'
import { recordReports } from '../../functions/ingest/record.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { Report } from '../../protocol/reports.ts'
import { fleet, startController, type Controller } from '../support/controller.ts'
import { needs } from '../support/needs.ts'

const { describe, test } = needs('sqld')

// 10,000 sites and 200,000 alarms read the same; filling the database with them takes a minute more
const [sites, alarmsPerSite] = [1000, 20]
const readsMax = 1000

const idOf = (n: number): string => (n === 9 ? alarmIds.cpu : n % 2 === 0 ? alarmIds.filesystem : '999.9')

/** A fleet where much has happened: of every twenty alarms of a site some are acknowledged, shelved, silent or cleared, and all were raised at one of three moments. */
async function fill(controller: Controller): Promise<void> {
  const nowMs = controller.clock.nowMs()
  const insert = (sql: string) => controller.db.write([{ sql, args: [] }])
  await insert(`WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < ${sites - 1})
    INSERT INTO site (id, labels, time_zone, windows, freezes, state, version, created_ms, incarnation, presence, hello_seq, protocol_max, locks, running_seq, nodes, inventory, inventory_seq, epoch, generation, desired_epoch, desired_generation)
    SELECT printf('s%05d', i), json_object('rack', printf('r%d', i % 50)), 'UTC', '[]', '[]', 'enrolled', 1, 0, 1, CASE i % 10 WHEN 0 THEN 'offline' ELSE 'online' END, 1, 2, '[{"node":"n9"}]', 0, '[]', '{}', 0, 1, 0, 0, 0 FROM s`)
  for (let n = 0; n < alarmsPerSite; n++) {
    const severity = ['critical', 'major', 'minor', 'warning'][n % 4]
    await insert(`INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq, source, incarnation, changed_ms, acknowledged_ms, shelved_until_ms, silenced)
      SELECT id, '${idOf(n)}', 'node=n${n}', '${severity}', 'text', ${severity === 'critical' ? 1 : 0}, ${nowMs - (n % 3)}, ${n === 13 ? nowMs : 'NULL'}, 1, 'site', 1, 0, ${n === 7 ? nowMs : 'NULL'}, ${n === 8 ? nowMs + 1 : 'NULL'}, ${n === 9 ? 1 : 0} FROM site`)
  }
}

describe('what the alarms of a large fleet cost, as a libSQL server counts it', () => {
  const withFleet = async (work: (controller: Controller, meter: Meter) => Promise<void>): Promise<void> => {
    const meter = await startMeter()
    const controller = await startController({ databaseUrl: meter.databaseUrl })
    try {
      await fill(controller)
      await work(controller, meter)
    } finally {
      controller.close()
      await meter.close()
    }
  }
  /** What a request read, without what it takes to know who asks. */
  const readsOf = async (controller: Controller, meter: Meter, id: 'listAlarms' | 'listAlarmEvents' | 'getSummary' | 'getAlarm', query: Record<string, string>): Promise<{ read: number; next: string | null }> => {
    let next: string | null = null
    const { read } = await meter.measure(async () => {
      const { status, body } = await controller.call(id, { as: 'viewer', query })
      expect(status, JSON.stringify(body)).toBe(200)
      next = (body as { next?: string | null }).next ?? null
    })
    return { read, next }
  }

  test(`no request reads more than ${readsMax} rows, whatever it asks for and however far it has come`, () =>
    withFleet(async (controller, meter) => {
      const questions: Record<string, string>[] = [
        {}, { all: 'true' }, { limit: '500', all: 'true' }, { site: 's00010' }, { site: 's00011', all: 'true' }, { alarmId: '999.9' }, { severity: 'critical' }, { gating: 'true' }, { gating: 'false' },
        { labelSelector: 'rack=r7' }, { labelSelector: 'rack=nowhere' }, { severity: 'minor', alarmId: '999.9', gating: 'true' },
      ]
      const reads: Record<string, number[]> = {}
      for (const query of questions) {
        let cursor: string | null = null
        for (let pages = 0; pages < 3; pages++) {
          const answer: { read: number; next: string | null } = await readsOf(controller, meter, 'listAlarms', { ...query, ...(cursor === null ? {} : { cursor }) })
          const name = JSON.stringify(query)
          reads[name] = [...(reads[name] ?? []), answer.read]
          cursor = answer.next
          if (cursor === null) break
        }
      }
      for (const query of [{}, { site: 's00011' }, { alarmId: '999.9' }, { entity: 'node=nowhere' }, { to: new Date(controller.clock.nowMs() - 1).toISOString() }] as Record<string, string>[]) {
        const first = await readsOf(controller, meter, 'listAlarmEvents', query)
        const second = first.next === null ? { read: 0 } : await readsOf(controller, meter, 'listAlarmEvents', { ...query, cursor: first.next })
        reads[`history ${JSON.stringify(query)}`] = [first.read, second.read]
      }
      reads.summary = [(await readsOf(controller, meter, 'getSummary', {})).read]
      expect(Object.entries(reads).filter(([, each]) => Math.max(...each) > readsMax)).toEqual([])
      expect(reads.summary[0]).toBeLessThan(60)
    }))

  test('a report costs what its own site has, and a snapshot without news writes nothing', () =>
    withFleet(async (controller, meter) => {
      const report = (seq: number, body: unknown) => Report.parse({ v: 1, fleet, site: 's00005', incarnation: 1, bootId: 'ab'.repeat(16), seq, sentAtMs: 0, body })
      const take = (seq: number, body: unknown): Promise<Rows> => meter.measure(() => controller.db.write(recordReports(controller.context(), foldReports([report(seq, body)]))))
      const raised = await take(5, { kind: 'alarm', alarmId: alarmIds.cpu, entity: 'node=n1', raised: true, severity: 'major', text: 'busy' })
      expect([raised.read < 100, raised.written < 15]).toEqual([true, true])
      const cleared = await take(6, { kind: 'alarm', alarmId: alarmIds.cpu, entity: 'node=n1', raised: false, severity: 'major', text: 'busy' })
      expect([cleared.read < 100, cleared.written < 15]).toEqual([true, true])
      const startMs = Math.floor(controller.clock.nowMs() / limits.metricBlockMs) * limits.metricBlockMs
      const alarms = Array.from({ length: alarmsPerSite }, (_, n) => n).filter((n) => n !== 13).map((n) => ({ alarmId: idOf(n), entity: `node=n${n}`, severity: ['critical', 'major', 'minor', 'warning'][n % 4], text: 'text', sinceMs: 0 }))
      const snapshot = await take(7, { kind: 'metrics', block: { startMs, stepS: 60, nodes: [] }, alarms })
      expect(snapshot).toMatchObject({ written: 1 })
      expect(snapshot.read).toBeLessThan(300)
      const quiet = await meter.measure(() => controller.db.write(recordReports(controller.context(), foldReports([Report.parse({ ...report(2, { kind: 'metrics', block: { startMs, stepS: 60, nodes: [] }, alarms: [] }), site: 's99999' })]))))
      expect(quiet.written).toBe(0)
    }))

  test('jobs look at what is due, and at no more', () =>
    withFleet(async (controller, meter) => {
      const runs = { endShelves, settleAlarms, expireAlarms }
      for (const [name, run] of Object.entries(runs)) expect((await meter.measure(() => run(controller.context()))).read, name).toBeLessThan(10)
      expect((await meter.measure(() => announceAlarms(controller.context()))).read).toBeLessThan(4000)
      controller.clock.advance(limits.alarmClearedMs + limits.alarmHistoryMs)
      expect((await meter.measure(() => endShelves(controller.context()))).read).toBeLessThan(3500)
      expect((await meter.measure(() => expireAlarms(controller.context()))).read).toBeLessThan(6000)
    }))
})
