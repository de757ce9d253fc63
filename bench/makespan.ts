import { figureOf, type Bench, type BenchOptions, type Figure } from './figure.ts'
import { barrierMakespanMs, drawTimes, leastMakespanMs } from './makespan/draw-times.ts'
import { simulateRollout } from './makespan/simulate-rollout.ts'

/**
 * Makespan of a rollout, in virtual time.
 *
 * Workload: 1,000 simulated sites under the controller's own code and the default waves (canary with its barrier, ramp, rest).
 * Update times are log-normal with σ = 0.5 and a median of ten minutes; one site in a hundred never says how it ended and
 * keeps its place until its grant is over. `maxParallel` is N ÷ 10 and N ÷ 20.
 * Floor: the canary's time, then the longest of the other times or their sum ÷ `maxParallel`, whichever is more. No
 * schedule with this canary can take less.
 * Counted: minutes from the creation to the end of the last site; one repetition per seed. For comparison, what barrier waves of
 * `maxParallel` sites need with the same draws: each batch waits for its slowest.
 */
export const makespan: Bench = { name: 'makespan', about: 'virtual minutes for a rollout over 1,000 sites, against the least that any schedule needs', run }

const sitesCount = 1000
const windows = [
  { share: 10, atMost: 1.35 },
  { share: 20, atMost: 1.2 },
]
const minutes = (spanMs: number): number => spanMs / 60_000

async function run({ quick, say }: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const { share, atMost } of windows) {
    const maxParallel = sitesCount / share
    const ours: { ours: number; floor: number }[] = []
    const barriers: { ours: number; floor: number }[] = []
    for (let seed = 1; seed <= (quick ? 2 : 7); seed++) {
      const times = drawTimes(sitesCount, seed)
      const { makespanMs, inFlightMax } = await simulateRollout(times, maxParallel)
      if (inFlightMax > maxParallel) throw new Error(`${inFlightMax} sites were in flight, ${maxParallel} are allowed (seed ${seed})`)
      const floor = minutes(leastMakespanMs(times, maxParallel))
      ours.push({ ours: minutes(makespanMs), floor })
      barriers.push({ ours: minutes(barrierMakespanMs(times, maxParallel)), floor })
      say(`N = ${share} × maxParallel, seed ${seed}: ${minutes(makespanMs).toFixed(0)} min, floor ${floor.toFixed(0)}, barrier waves ${barriers.at(-1)!.ours.toFixed(0)}`)
    }
    const head = { bench: makespan.name, unit: 'min' }
    figures.push(figureOf({ ...head, name: `N = ${share} × maxParallel`, aim: { atMost } }, ours))
    figures.push(figureOf({ ...head, name: `the same in barrier waves`, aim: null }, barriers))
  }
  return figures
}
