import { expect } from 'vitest'
import { startMeter } from '../../bench/cost/meter.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { packMetrics } from '../../functions/metric/pack.ts'
import { limits } from '../../protocol/limits.ts'
import { at } from '../../protocol/http/contract.ts'
import { startController } from '../support/controller.ts'
import { blockMs, blockStart, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { needs } from '../support/needs.ts'
import { enrolSites } from '../support/practice-fleet.ts'

const { describe, test } = needs('sqld')
const dayMs = 86_400_000

describe('what metrics cost, as a libSQL server counts it', () => {
  test('is one row written for a block, and none for what comes twice or late', async () => {
    const meter = await startMeter()
    const controller = await startController({ databaseUrl: meter.databaseUrl })
    try {
      const sites = await enrolSites(controller, Array.from({ length: 20 }, (_, i) => ({ id: `s${i}`, offline: true })))
      const said = async (blocksAgo: number, used: number) => Promise.all([...sites.values()].map((site) => site.message({ kind: 'metrics', block: steadyBlock(blockStart(controller.clock.nowMs()) - blocksAgo * blockMs, steadyNode('alpha', { used: { '/': used } }), steadyNode('beta')), alarms: [] })))
      const writing = async (messages: Awaited<ReturnType<typeof said>>): Promise<number> => (await meter.measure(() => receiveReports(controller.context(), messages))).written
      await writing(await said(9, 500))
      const blocks = await said(8, 505)
      expect(await writing(blocks)).toBe(20)
      expect(await writing(blocks)).toBe(0)
      // the slots of two days before are written over
      controller.clock.advance(limits.metricSlots * blockMs)
      expect(await writing(await said(8, 504))).toBe(20)
      // a percentage point more: the site's capacity as well, and its place in an index
      expect(await writing(await said(7, 515))).toBeLessThanOrEqual(20 * 4)
    } finally {
      controller.close()
      await meter.close()
    }
  })

  test('is bounded for a fleet of 1,000 sites, whatever is asked', async () => {
    const meter = await startMeter()
    const controller = await startController({ databaseUrl: meter.databaseUrl })
    try {
      const ids = Array.from({ length: 1000 }, (_, i) => `s${String(i).padStart(4, '0')}`)
      await enrolSites(controller, ids.map((id, i) => ({ id, offline: true, labels: { region: `r${i % 10}` } })))
      const midnightMs = Math.floor(controller.clock.nowMs() / dayMs) * dayMs
      const { stepS, nodes } = steadyBlock(0, steadyNode('alpha'))
      const summary = JSON.stringify({ nodes: 1, cpu: 100, cpuMax: 100, memory: 400, received: 1000, sent: 500, pods: 10, full: 300 })
      // two whole days of each site, without saying each of 192,000 blocks
      await controller.db.write([{
        sql: `INSERT INTO metric_block (site_id, slot, start_ms, received_ms, incarnation, seq, summary, body)
              SELECT s.value, b.value / ${blockMs} % ${limits.metricSlots}, b.value, 0, 1, 1, ?, ? FROM json_each(?) s, json_each(?) b`,
        args: [summary, JSON.stringify({ stepS, nodes }), JSON.stringify(ids), JSON.stringify(Array.from({ length: 192 }, (_, i) => midnightMs - 2 * dayMs + i * blockMs))],
      }])
      controller.clock.advance(midnightMs + 6 * 3_600_000 + 1 - controller.clock.nowMs())
      const read = async (work: () => Promise<unknown>): Promise<number> => (await meter.measure(work)).read
      const fleet = (query: Record<string, string>) => read(() => controller.call('getFleetUsage', { query }))
      const nowMs = controller.clock.nowMs()
      expect(await fleet({})).toBeLessThanOrEqual(limits.usageRowsMax + 3000)
      expect(await fleet({ from: at(nowMs - 2 * dayMs), step: '15m', groupBy: 'region' })).toBeLessThanOrEqual(limits.usageRowsMax + 3000)
      expect(await fleet({ from: at(nowMs - 90 * dayMs) })).toBeLessThanOrEqual(limits.usageRowsMax + 5000)
      expect(await read(() => controller.call('getSiteUsage', { params: { site: 's0500' } }))).toBeLessThanOrEqual(300)
      expect(await read(() => controller.call('listCapacity', { query: { limit: '100' } }))).toBeLessThanOrEqual(110)
      const viewer = { authorization: `Bearer ${controller.tokens.viewer}` }
      expect(await read(() => controller.send('GET', '/metrics', viewer))).toBeLessThanOrEqual(3500)
      expect(await read(() => controller.send('GET', '/metrics?by=site&limit=500', viewer))).toBeLessThanOrEqual(6000)
      const packing = await meter.measure(() => packMetrics(controller.context()))
      expect([packing.read <= 200 * (96 + 20), packing.written <= 200 * 3 + 1, packing.roundTrips <= 40]).toEqual([true, true, true])
      for (let i = 0; i < 20; i++) await packMetrics(controller.context())
      expect(await meter.measure(() => packMetrics(controller.context()))).toEqual({ roundTrips: 2, read: 2, written: 0 })
    } finally {
      controller.close()
      await meter.close()
    }
  })
})
