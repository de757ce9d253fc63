import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { agentMemory } from './agent-memory.ts'
import { fanOut } from './fan-out.ts'
import { alarmQueries } from './alarm-queries.ts'
import { coldStart } from './cold-start.ts'
import { day } from './day.ts'
import { faultWebhook } from './fault-webhook.ts'
import type { Figure } from './figure.ts'
import { ingest } from './ingest.ts'
import { makespan } from './makespan.ts'
import { tableOf } from './table.ts'
import { tick } from './tick.ts'
import { workerPublish } from './worker-publish.ts'

/** `npm run bench -- [name…] [--quick] [--json FILE]`: each benchmark against its floor, side by side in one run. */

const benches = [ingest, fanOut, makespan, agentMemory, coldStart, tick, workerPublish, faultWebhook, alarmQueries, day]

const usage = `usage: npm run bench -- [name…] [--quick] [--json FILE]\n${benches.map((bench) => `  ${bench.name.padEnd(14)}${bench.about}`).join('\n')}`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean', default: false }, json: { type: 'string' }, help: { type: 'boolean', default: false } } })
  const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name))
  if (values.help || unknown.length > 0) {
    console.log(unknown.length > 0 ? `there is no benchmark ${unknown.join(', ')}\n${usage}` : usage)
    return unknown.length > 0 ? 2 : 0
  }
  const machine = { node: process.version, cores: availableParallelism(), processor: cpus()[0]?.model ?? 'unknown', platform: `${process.platform}-${process.arch}` }
  const figures: Figure[] = []
  for (const bench of benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    console.log(`${bench.name}: ${bench.about}`)
    figures.push(...(await bench.run({ quick: values.quick, say: (line) => console.log(`  ${line}`) })))
  }
  console.log(`\nNode ${machine.node}, ${machine.cores} cores, ${machine.processor}, ${machine.platform}${values.quick ? ', quick' : ''}\n\n${tableOf(figures)}`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ measuredAt: new Date().toISOString(), quick: values.quick, machine, figures }, null, 2)}\n`)
  return 0
}

process.exitCode = await main()
