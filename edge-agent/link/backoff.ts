import type { Random } from '../host/host.ts'

/** Full jitter: anything up to a bound that doubles with each try, so that many sites do not come back together. */
export const backoffMs = (tries: number, bounds: { base: number; max: number }, random: Random): number =>
  random.fraction() * Math.min(bounds.max, bounds.base * 2 ** Math.min(tries - 1, 30))
