import { parseArgs } from 'node:util'
import { runPool } from './pool.ts'
import { runSeed } from './run-seed.ts'
import { explainViolation, summarise } from './summary.ts'

const usage = `npm run sim -- [--seeds N] [--seed S] [--sites M] [--workers W] [--trace]

  --seeds N    how many seeds to run (100)
  --seed S     the first seed (1); alone: only this one
  --sites M    sites of each fleet (5)
  --workers W  processes at a time (2)
  --trace      print what happens, event by event (one seed only)
`

function numberOf(text: string | undefined, name: string, otherwise: number): number {
  const value = Number(text ?? otherwise)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be a positive whole number`)
  return value
}

/** Runs seeds and prints what came of them; returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { seeds: { type: 'string' }, seed: { type: 'string' }, sites: { type: 'string' }, workers: { type: 'string' }, trace: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const first = numberOf(values.seed, 'seed', 1)
  const count = numberOf(values.seeds, 'seeds', values.seed === undefined ? 100 : 1)
  const sites = numberOf(values.sites, 'sites', 5)
  if (values.trace) {
    const result = await runSeed({ seed: first, sites, print: (line) => console.log(line) })
    console.log(summarise([result]))
    if (result.violation !== null) console.log(explainViolation(result))
    return result.violation === null ? 0 : 1
  }
  const startedMs = performance.now()
  const seeds = Array.from({ length: count }, (_, i) => first + i)
  const results = await runPool({ seeds, sites, workers: numberOf(values.workers, 'workers', 2) }, (result) => {
    console.log(`seed ${result.seed}  ${result.traceHash}  ${result.violation === null ? 'ok' : `VIOLATION ${result.violation.invariant}`}`)
  })
  console.log(summarise(results, performance.now() - startedMs))
  const broken = results.filter((result) => result.violation !== null)
  for (const result of broken) console.log(explainViolation(result))
  return broken.length === 0 ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  }
}
