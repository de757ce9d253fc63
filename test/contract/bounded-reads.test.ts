import { expect } from 'vitest'
import { countRows, type RowCounts } from '../../bench/cost/count-rows.ts'
import { startMeter } from '../../bench/cost/meter.ts'
import { needs } from '../support/needs.ts'

const { describe, test } = needs('sqld')

describe('what the controller reads and writes, as a libSQL server counts it', () => {
  const phases = ['staging', 'applying', 'ended']
  const at = async (sites: number): Promise<RowCounts> => {
    const meter = await startMeter()
    return countRows(meter, sites, 5, phases).finally(meter.close)
  }

  test('does not grow with the fleet: not for a minute with nothing to do, not for a hello, a metric block or a deployment', async () => {
    const [small, large] = [await at(100), await at(1000)]
    // but for the walk that looks for sites of which nothing has come: each is looked at once in a quarter of an hour
    const rowsPerSite = 12
    expect(large.idleMinute.read).toBeLessThanOrEqual(small.idleMinute.read + ((1000 - 100) * rowsPerSite) / 15)
    expect(large.idleMinute.written).toBeLessThan(1)
    expect(large.reconnect.read).toBeLessThanOrEqual(small.reconnect.read + 5)
    expect(large.reconnect.written).toBe(small.reconnect.written)
    // a metric block is one row, whatever the fleet
    expect(large.metricBlock).toMatchObject({ written: 1 })
    expect(large.metricBlock.read).toBeLessThanOrEqual(small.metricBlock.read + 5)
    // a tenth of them may be at it at the same time, and each that ends makes room for one
    expect(large.deployment.read).toBeLessThanOrEqual(small.deployment.read * 1.25)
    expect(large.deployment.written).toBeLessThanOrEqual(small.deployment.written * 1.1)
    expect(large.deployment.roundTrips).toBeLessThanOrEqual(small.deployment.roundTrips + 1)
  })
})
