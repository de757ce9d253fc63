import type { SeedResult } from './run-seed.ts'

function total(counts: readonly Record<string, number>[]): string {
  const sums = new Map<string, number>()
  for (const each of counts) for (const [name, n] of Object.entries(each)) sums.set(name, (sums.get(name) ?? 0) + n)
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, n]) => `${name} ${n}`).join(', ')
}

/** What some seeds came to, for people. `realMs`: by the clock on the wall, where several ran at a time. */
export function summarise(results: readonly SeedResult[], realMs = results.reduce((sum, result) => sum + result.realMs, 0)): string {
  const simulatedMs = results.reduce((sum, result) => sum + result.simulatedMs, 0)
  return [
    `${results.length} seeds, ${(simulatedMs / 3_600_000).toFixed(0)} simulated hours in ${(realMs / 1000).toFixed(1)} s: ${Math.round(simulatedMs / realMs)} times as fast as real time`,
    `${results.reduce((sum, result) => sum + result.events, 0)} events`,
    `faults: ${total(results.map((result) => result.faults))}`,
    `operators: ${total(results.map((result) => result.deeds))}`,
    `attempts ended: ${total(results.map((result) => result.outcomes))}`,
    `alarms raised: ${total(results.map((result) => result.alarms))}`,
    `violations: ${results.filter((result) => result.violation !== null).length}`,
  ].join('\n')
}

/** A violation with all that is needed to see it again. */
export function explainViolation({ seed, sites, violation, recent, traceHash }: SeedResult): string {
  if (violation === null) return `seed ${seed}: no violation`
  return [
    '', `seed ${seed}: ${violation.invariant} does not hold at ${new Date(violation.atMs).toISOString()} (trace ${traceHash})`, `  ${violation.evidence}`,
    ...recent.slice(-12).map((line) => `    ${line}`), `  replay: npm run sim -- --seed ${seed} --sites ${sites} --trace`,
  ].join('\n')
}
