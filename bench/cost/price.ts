import type assumptionsFile from './assumptions.json'
import type { RowCounts } from './count-rows.ts'
import type { SiteCounts, SiteTraffic } from './count-site.ts'
import type pricesFile from './prices.json'

export type Prices = typeof pricesFile
export type Assumptions = typeof assumptionsFile
export type Counts = { measuredAt: string; site: SiteCounts; rows: RowCounts[]; cpuMsPerRequest: number }

/** One line of a bill: how much of what, and what it costs in a month, after what the plan includes. */
export type Item = { item: string; amount: number; unit: string; dollars: number }
export type Bill = { items: Item[]; dollars: number }
export type Broker = 'aws-iot' | 'own broker'

const million = 1e6
const beyond = (amount: number, included: number): number => Math.max(0, amount - included)
const bill = (items: Item[]): Bill => ({ items, dollars: items.reduce((sum, { dollars }) => sum + dollars, 0) })
/** What traffic comes to, repeated. What reaches a site as it connects is the broker's retained copy; all else the controller has published for it. */
function times(traffic: SiteTraffic, factor: number) {
  const publishes = traffic.connects > 0 ? 0 : factor
  return {
    connects: traffic.connects * factor, up: traffic.messagesUp * factor, down: traffic.messagesDown * factor, published: traffic.messagesDown * publishes, retained: traffic.messagesRetained * publishes,
    requests: traffic.controllerRequests * factor, reads: traffic.objectReads * factor,
  }
}
type Traffic = ReturnType<typeof times>
const sumOf = (traffics: readonly Traffic[], factor: number): Traffic => {
  const sum = (field: keyof Traffic): number => factor * traffics.reduce((total, each) => total + each[field], 0)
  return { connects: sum('connects'), up: sum('up'), down: sum('down'), published: sum('published'), retained: sum('retained'), requests: sum('requests'), reads: sum('reads') }
}

/** A last will travels for each connection that is lost. */
const goodbyes = (traffic: Traffic): number => traffic.connects

/**
 * What AWS IoT meters: CONNECT, SUBSCRIBE, every publish in and out, the device's acknowledgement of what it gets, and what is
 * published to be retained once more. All of ours fit into one unit of 5 KB. Publishing through the data plane is a message in, too.
 * Reports are none: they go straight to their rule, by Basic Ingest.
 */
const iotMessages = (t: Traffic): number => t.connects * 2 + goodbyes(t) + t.published + t.retained + t.down * 2

/** Of a rule of AWS IoT and its action, which are metered by 5 KB. */
const units = (bytes: number): number => Math.ceil(bytes / 5120)

/** What a month of metric blocks comes to. A rule of AWS IoT hands on each by itself; our bridge all that come within 200 ms, of the minute over which sites spread them. */
function blocksOf(rows: RowCounts, { daysPerMonth }: Assumptions, sites: number, broker: Broker) {
  const quarters = daysPerMonth * 96
  const blocks = sites * quarters
  return { blocks, units: blocks * units(rows.metricBlock.bytes), requests: broker === 'aws-iot' ? blocks : quarters * Math.min(sites, 60_000 / 200), read: blocks * rows.metricBlock.read, written: blocks * rows.metricBlock.written }
}

/** Rows at a fleet size that was not counted itself: those of the next larger one that was. */
const rowsAt = (counts: Counts, sites: number): RowCounts => counts.rows.find((rows) => rows.sites >= sites) ?? counts.rows.at(-1)!

/** What one month costs with so many sites, without rollouts or with them (`rollouts`), item by item. */
export function priceMonth(counts: Counts, prices: Prices, assumed: Assumptions, sites: number, broker: Broker, rollouts: number): Bill {
  const { site } = counts
  const rows = rowsAt(counts, sites)
  const fleet = sumOf([times(site.start, assumed.agentStartsPerSiteMonth), times(site.reconnect, assumed.reconnectsPerSiteMonth), times(site.deployment, rollouts)], sites)
  const reports = fleet.up + goodbyes(fleet)
  const minutes = assumed.daysPerMonth * 24 * 60
  // A batch waits 200 ms for company, and so few reports come that it rarely gets any.
  const metrics = blocksOf(rows, assumed, sites, broker)
  const requests = reports + fleet.requests + minutes + metrics.requests
  const read = metrics.read + rows.idleMinute.read * minutes + rows.reconnect.read * fleet.connects + (rows.createRollout.read + rows.deployment.read * sites) * rollouts
  const written = metrics.written + rows.idleMinute.written * minutes + rows.reconnect.written * fleet.connects + (rows.createRollout.written + rows.deployment.written * sites) * rollouts
  return bill([...brokerItems(prices, assumed, fleet, metrics.units, sites, broker), ...workerItems(prices, requests, requests * counts.cpuMsPerRequest), tursoItem(prices, read, written), ...r2Items(counts, prices, assumed, fleet, sites, rollouts)])
}

function brokerItems({ awsIot, brokerServer }: Prices, { daysPerMonth }: Assumptions, fleet: Traffic, blockUnits: number, sites: number, broker: Broker): Item[] {
  if (broker === 'own broker') return [{ item: 'own broker', amount: 1, unit: 'server', dollars: brokerServer.month }]
  const minutes = sites * daysPerMonth * 24 * 60
  const messages = iotMessages(fleet)
  const reports = fleet.up + goodbyes(fleet) + blockUnits
  return [
    { item: 'AWS IoT: connections', amount: minutes, unit: 'minutes', dollars: (minutes / million) * awsIot.perMillionConnectedMinutes },
    { item: 'AWS IoT: messages', amount: messages, unit: 'messages', dollars: (messages / million) * awsIot.perMillionMessages },
    { item: 'AWS IoT: rules and actions', amount: reports, unit: 'reports', dollars: (reports / million) * (awsIot.perMillionRulesTriggered + awsIot.perMillionActions) },
  ]
}

function workerItems({ workers }: Prices, requests: number, cpuMs: number): Item[] {
  return [
    { item: 'Workers: plan', amount: 1, unit: 'month', dollars: workers.baseMonth },
    { item: 'Workers: requests', amount: requests, unit: 'requests', dollars: (beyond(requests, workers.requestsIncluded) / million) * workers.perMillionRequests },
    { item: 'Workers: CPU', amount: cpuMs, unit: 'ms', dollars: (beyond(cpuMs, workers.cpuMsIncluded) / million) * workers.perMillionCpuMs },
  ]
}

/** The smallest plan that holds what is read and written. */
function tursoItem({ turso }: Prices, read: number, written: number): Item {
  const plan = turso.plans.find(({ rowsRead, rowsWritten }) => read <= rowsRead && written <= rowsWritten)
  if (plan === undefined) throw new Error(`no plan of the price file holds ${read} rows read and ${written} written`)
  return { item: `Turso ${plan.name}: ${shortNumber(read)} rows read`, amount: written, unit: 'rows written', dollars: plan.month }
}

function r2Items({ site }: Counts, { r2 }: Prices, assumed: Assumptions, fleet: Traffic, sites: number, rollouts: number): Item[] {
  const classA = site.publish.uploads * rollouts
  const classB = fleet.reads + site.publish.looks * rollouts
  const gb = assumed.releaseGb * assumed.releasesKept
  const gbSent = sites * rollouts * assumed.releaseGb
  return [
    { item: 'R2: storage', amount: gb, unit: 'GB', dollars: beyond(gb, r2.gbMonthIncluded) * r2.perGbMonth },
    { item: 'R2: uploads', amount: classA, unit: 'operations A', dollars: (beyond(classA, r2.classAIncluded) / million) * r2.perMillionClassA },
    { item: 'R2: downloads', amount: classB, unit: 'operations B', dollars: (beyond(classB, r2.classBIncluded) / million) * r2.perMillionClassB },
    { item: 'R2: sent', amount: gbSent, unit: 'GB', dollars: gbSent * r2.perGbSent },
  ]
}

/** Two servers that are always on, whatever happens. */
export const pricePair = ({ serverPair }: Prices, { daysPerMonth }: Assumptions): number =>
  serverPair.servers * (serverPair.serverHour * 24 * daysPerMonth + serverPair.diskGb * serverPair.diskGbMonth)

/** `1.2 M`, `43 k`: three digits are all that such a count is worth. */
export function shortNumber(value: number): string {
  const [scaled, suffix] = value >= 1e9 ? [value / 1e9, ' G'] : value >= 1e6 ? [value / 1e6, ' M'] : value >= 1e4 ? [value / 1e3, ' k'] : [value, '']
  return `${scaled >= 100 ? scaled.toFixed(0) : Number(scaled.toPrecision(3))}${suffix}`
}
