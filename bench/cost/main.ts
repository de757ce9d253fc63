import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { startController } from '../../test/support/controller.ts'
import { enrolOnline } from '../enrol-online.ts'
import assumptions from './assumptions.json' with { type: 'json' }
import { countRows, type RowCounts } from './count-rows.ts'
import { countSite } from './count-site.ts'
import { startMeter } from './meter.ts'
import type { Counts } from './price.ts'
import prices from './prices.json' with { type: 'json' }
import { renderCost } from './render.ts'

/** `npm run cost` writes docs/COST.md from what was counted; with `--count` it counts first. */

const countsFile = join(import.meta.dirname, 'counts.json')
const page = join(import.meta.dirname, '../../docs/COST.md')

async function count(): Promise<Counts> {
  const metered = async <T>(work: (meter: Awaited<ReturnType<typeof startMeter>>) => Promise<T>): Promise<T> => {
    const meter = await startMeter()
    return work(meter).finally(meter.close)
  }
  const site = await metered(({ databaseUrl }) => countSite(databaseUrl, assumptions.releaseObjects))
  console.log('one site:', JSON.stringify(site, null, 1))
  const rows: RowCounts[] = []
  for (const sites of [100, 1000, 10_000]) {
    rows.push(await metered((meter) => countRows(meter, sites, assumptions.nodesPerSite, site.deployment.phases)))
    console.log('rows:', JSON.stringify(rows.at(-1)))
  }
  return { measuredAt: new Date().toISOString(), site, rows, cpuMsPerRequest: await cpuOfReport() }
}

/** CPU time of this process for taking one hello alone in a batch, and what follows it. */
async function cpuOfReport(): Promise<number> {
  const controller = await startController()
  const fleet = [...(await enrolOnline(controller, Array.from({ length: 200 }, (_, i) => `site-${i}`))).values()]
  const messages = await Promise.all(fleet.map((site) => site.message(site.helloBody())))
  const before = process.cpuUsage()
  for (const message of messages) await receiveReports(controller.context(), [message])
  await controller.settle()
  const { user, system } = process.cpuUsage(before)
  controller.close()
  return (user + system) / 1000 / messages.length
}

if (process.argv.includes('--count')) writeFileSync(countsFile, `${JSON.stringify(await count(), null, 2)}\n`)
if (!existsSync(countsFile)) throw new Error('nothing was counted yet: npm run cost -- --count')
writeFileSync(page, renderCost(JSON.parse(readFileSync(countsFile, 'utf8')) as Counts, prices, assumptions))
console.log(`${page} is written`)
