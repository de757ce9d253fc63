import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import assumptions from '../../bench/cost/assumptions.json' with { type: 'json' }
import counts from '../../bench/cost/counts.json' with { type: 'json' }
import { priceMonth, type Counts } from '../../bench/cost/price.ts'
import prices from '../../bench/cost/prices.json' with { type: 'json' }
import { renderCost } from '../../bench/cost/render.ts'

test('docs/COST.md is what the counts, the prices and the assumptions come to', () => {
  expect(readFileSync(join(import.meta.dirname, '../../docs/COST.md'), 'utf8')).toBe(renderCost(counts, prices, assumptions))
})

test('a month is priced by what AWS, Cloudflare and Turso meter', () => {
  const idle = { connects: 0, messagesUp: 0, messagesDown: 0, messagesRetained: 0, bytesUp: 0, bytesDown: 0, controllerRequests: 0, objectReads: 0, phases: [] }
  const rows = (read: number, written: number) => ({ roundTrips: 1, read, written })
  const counted: Counts = {
    measuredAt: '', cpuMsPerRequest: 2,
    site: {
      start: { ...idle, connects: 1, messagesUp: 2, messagesDown: 1, messagesRetained: 1 }, reconnect: { ...idle, connects: 1, messagesUp: 1, messagesDown: 1, messagesRetained: 1 },
      deployment: { ...idle, messagesUp: 5, messagesDown: 2, messagesRetained: 1, controllerRequests: 6, objectReads: 11 }, publish: { uploads: 12, looks: 30, storedObjects: 12 },
    },
    rows: [{ sites: 100, played: 1, idleMinute: rows(10, 0), reconnect: rows(50, 5), metricBlock: { ...rows(7, 1), bytes: 6000 }, createRollout: rows(1000, 500), deployment: rows(300, 60) }],
  }
  const assumed = { daysPerMonth: 30, nodesPerSite: 5, reconnectsPerSiteMonth: 9, agentStartsPerSiteMonth: 1, rolloutsPerMonth: 2, releaseGb: 3, releaseObjects: 10, releasesKept: 5 }
  const amounts = (broker: 'aws-iot' | 'own broker') => Object.fromEntries(priceMonth(counted, prices, assumed, 100, broker, 2).items.map(({ item, amount }) => [item.replace(/ Developer: .*/, ''), Math.round(amount)]))
  // per site: 10 connections (each also a subscription, a retained message with its acknowledgement, a last will), 11 + 2 × 5 messages up, 2 × 2 down
  // (each published, sent and acknowledged), two of which are kept; what goes up is a report, and by Basic Ingest no message
  const ofSite = { messages: 10 * 2 + 10 * 2 + 10 + 4 * 3 + 2, reports: 21 + 10 }
  // a block of 6,000 bytes each quarter of an hour is two units of 5 KB to its rule, and a request of its own
  const blocks = 100 * 96 * 30
  const requests = 100 * ofSite.reports + 100 * 12 + 43_200
  expect(amounts('aws-iot')).toEqual({
    'AWS IoT: connections': 100 * 43_200, 'AWS IoT: messages': 100 * ofSite.messages, 'AWS IoT: rules and actions': 100 * ofSite.reports + 2 * blocks,
    'Workers: plan': 1, 'Workers: requests': requests + blocks, 'Workers: CPU': 2 * (requests + blocks),
    'Turso': 5 * 1000 + 2 * (500 + 100 * 60) + blocks, 'R2: storage': 15, 'R2: uploads': 24, 'R2: downloads': 100 * 22 + 60, 'R2: sent': 100 * 2 * 3,
  })
  expect(amounts('own broker')).toMatchObject({ 'own broker': 1, 'Workers: requests': requests + blocks })
  // beyond 300 sites our bridge finds company for them
  const crowd = (sites: number) => priceMonth(counted, prices, assumed, sites, 'own broker', 0).items.find(({ item }) => item === 'Workers: requests')!.amount
  expect(crowd(2000) - crowd(1000)).toBe(1000 * (2 + 9 + 10))
})
