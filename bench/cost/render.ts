import { priceMonth, pricePair, shortNumber, type Assumptions, type Bill, type Broker, type Counts, type Prices } from './price.ts'

const fleetSizes = [100, 1000, 10_000]
const brokers: readonly Broker[] = ['aws-iot', 'own broker']
const nameOf: Record<Broker, string> = { 'aws-iot': 'Cloudflare + Turso + AWS IoT', 'own broker': 'Cloudflare + Turso + own broker' }
/** $ per site and month, all included. */
const aims = new Map([[1000, 0.02], [10_000, 0.01]])

const dollars = (value: number): string => (value >= 100 ? `$${value.toFixed(0)}` : value >= 1 ? `$${value.toFixed(2)}` : `$${Number(value.toPrecision(2))}`)
/** What it costs, and whether that is what was aimed at. */
const judged = (value: number, aim: number | undefined): string => `${dollars(value)}${aim === undefined ? '' : value <= aim ? ', met' : ', missed'}`
const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')

/** `docs/COST.md`, whole: from what was counted, from the prices, and from nothing else. */
export function renderCost(counts: Counts, prices: Prices, assumed: Assumptions): string {
  const pair = pricePair(prices, assumed)
  const month = (sites: number, broker: Broker): Bill => priceMonth(counts, prices, assumed, sites, broker, assumed.rolloutsPerMonth)
  return `# What it costs

Made by \`npm run cost\` from \`bench/cost/counts.json\` (operations that were counted, on ${counts.measuredAt.slice(0, 10)}), \`bench/cost/prices.json\` (with the source of each price and the day it
was seen) and \`bench/cost/assumptions.json\`. Change one of them and run it again; \`npm run cost -- --count\` counts anew (it needs sqld).

Assumed: ${assumed.reconnectsPerSiteMonth} reconnects and ${assumed.agentStartsPerSiteMonth} start of the agent per site and month, ${assumed.rolloutsPerMonth} rollouts a month of ${assumed.releaseGb} GB in ${assumed.releaseObjects} objects to every site, of which the sites have nothing yet;
${assumed.releasesKept} releases kept; ${assumed.nodesPerSite} nodes a site, whose metrics come as one block each quarter of an hour. Alarms and webhooks are not in it: an alarm that comes and goes is two reports and 17 rows written, and two requests to each endpoint that is told.

## Per site and month

${table(['sites', ...brokers.map((broker) => nameOf[broker]), 'aim', 'a pair of servers, always on'], fleetSizes.map((sites) => [sites.toLocaleString('en'), ...brokers.map((broker) => judged(month(sites, broker).dollars / sites, aims.get(sites))), aims.has(sites) ? `≤ ${dollars(aims.get(sites)!)}` : '', dollars(pair / sites)]))}

The pair: ${prices.serverPair.source}: ${dollars(pair)} a month, whatever the fleet's size.

## A month, item by item

${brokers.map((broker) => itemised(`${nameOf[broker]}`, fleetSizes.map((sites) => month(sites, broker)))).join('\n\n')}

## One rollout of ${assumed.releaseGb} GB

What a rollout adds to a month without any (${nameOf['aws-iot']}; what the plans include is used up by the rest of the month first):

${table(['sites', 'cost', 'messages and rules', 'rows written', 'requests', 'objects read', 'GB sent'], fleetSizes.map((sites) => rolloutRow(counts, prices, assumed, sites)))}

From a store that charges for what it sends ($0.09 a GB is usual), the same bytes would cost ${fleetSizes.map((sites) => `${dollars(sites * assumed.releaseGb * 0.09)} at ${sites.toLocaleString('en')}`).join(', ')} sites.

## What was counted

One real agent at one real controller on Node, over its embedded broker:

${table(['', 'connections', 'messages up', 'messages down', 'requests to the controller', 'objects read'], (['start', 'reconnect', 'deployment'] as const).map((what) => {
    const t = counts.site[what]
    return [what, t.connects, t.messagesUp, t.messagesDown, t.controllerRequests, t.objectReads]
  }))}

Publishing: ${counts.site.publish.uploads} uploads, and ${counts.site.publish.looks} looks at the store by the controller. Rows, as a libSQL server counts them:

${table(['sites', 'a minute with nothing to do: read / written', 'goodbye, hello and what stands', 'a metric block', 'creating a rollout', 'one deployment'], counts.rows.map((r) => [r.sites.toLocaleString('en'), pairOf(r.idleMinute), pairOf(r.reconnect), `${pairOf(r.metricBlock)}, ${r.metricBlock.bytes.toLocaleString('en')} bytes`, pairOf(r.createRollout), `${pairOf(r.deployment)} (mean of ${r.played})`]))}

What AWS IoT meters of these as messages: each connection and its subscription, each last will, each message down, each acknowledgement by a site, and each publishing by the controller (twice where the broker is to keep it). Reports, metric blocks
among them, are no messages: sites publish them by [Basic Ingest](https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html), which costs no messaging. They trigger a rule and its action, metered by 5 KB of a report as it travels, compressed where it is long.
All this is from AWS's documents: nothing was run there yet, and no bill was seen.
Each report is counted as an action of its rule and a request to the controller of its own. Our rule lets AWS put up to ten together that come within 200 ms, which it meters as one action by what that is long; how many it finds was not to be measured.

CPU: ${counts.cpuMsPerRequest.toFixed(1)} ms for a batch of one report and all that follows it, measured on Node; Workers' own figure was not to be had.
`
}

const pairOf = ({ read, written }: { read: number; written: number }): string => `${shortNumber(read)} / ${shortNumber(written)}`

function itemised(title: string, bills: readonly Bill[]): string {
  const rows = bills[0]!.items.map((_, i) => [
    bills[0]!.items[i]!.item.replace(/ (?:Developer|Scaler|Pro): .*/, ''),
    ...bills.map(({ items }) => {
      const { amount, unit, dollars: cost, item } = items[i]!
      return `${dollars(cost)} (${item.startsWith('Turso') ? `${item.slice(6)}, ` : ''}${shortNumber(amount)} ${unit})`
    }),
  ])
  return `### ${title}\n\n${table(['item', ...fleetSizes.map((sites) => `${sites.toLocaleString('en')} sites`)], [...rows, ['**all**', ...bills.map((bill) => `**${dollars(bill.dollars)}**`)]])}`
}

function rolloutRow(counts: Counts, prices: Prices, assumed: Assumptions, sites: number): string[] {
  const [without, withOne] = [0, 1].map((rollouts) => priceMonth(counts, prices, assumed, sites, 'aws-iot', rollouts))
  const more = (prefix: string, field: 'amount' | 'dollars'): number => {
    const of = (bill: Bill): number => bill.items.filter(({ item }) => item.startsWith(prefix)).reduce((sum, item) => sum + item[field], 0)
    return of(withOne!) - of(without!)
  }
  return [
    sites.toLocaleString('en'), dollars(withOne!.dollars - without!.dollars), dollars(more('AWS IoT', 'dollars')), shortNumber(more('Turso', 'amount')), shortNumber(more('Workers: requests', 'amount')),
    shortNumber(more('R2: downloads', 'amount')), shortNumber(more('R2: sent', 'amount')),
  ]
}
