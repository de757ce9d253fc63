import { limits } from '../../protocol/limits.ts'
import { seededFractions } from '../../test/support/seeded-fractions.ts'

const medianMs = 10 * 60_000
const sigma = 0.5
const hungShare = 0.01

/** What the policy of the simulated rollouts says, and so how long a site that hangs keeps its place. */
export const terms = { startWithin: 5 * 60_000, maxDuration: 45 * 60_000 }
const hungMs = terms.startWithin + terms.maxDuration + limits.grantMarginMs

/** One site's update: how long it keeps its place, and whether it ever says how it ended. */
export type SiteTime = { spanMs: number; hangs: boolean }

/** Log-normal update times, capped by what a grant allows; exactly one in a hundred hangs. The first never does: it is the canary's. */
export function drawTimes(count: number, seed: number): SiteTime[] {
  const fraction = seededFractions(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - fraction())) * Math.cos(2 * Math.PI * fraction())
  const times = Array.from({ length: count }, (): SiteTime => ({ spanMs: Math.min(terms.maxDuration, Math.round(medianMs * Math.exp(sigma * normal()))), hangs: false }))
  for (let left = Math.round(hungShare * count); left > 0; ) {
    const i = 1 + Math.floor(fraction() * (count - 1))
    if (times[i]!.hangs) continue
    times[i] = { spanMs: hungMs, hangs: true }
    left--
  }
  return times
}

const longest = (times: readonly SiteTime[]): number => times.reduce((most, { spanMs }) => Math.max(most, spanMs), 0)

/** No schedule that waits for the canary and keeps to `maxParallel` can be faster. */
export function leastMakespanMs([canary, ...rest]: readonly SiteTime[], maxParallel: number): number {
  return canary!.spanMs + Math.max(longest(rest), rest.reduce((sum, { spanMs }) => sum + spanMs, 0) / maxParallel)
}

/** The canary, then one batch of `maxParallel` after the other, each as long as its slowest. */
export function barrierMakespanMs([canary, ...rest]: readonly SiteTime[], maxParallel: number): number {
  let spanMs = canary!.spanMs
  for (let i = 0; i < rest.length; i += maxParallel) spanMs += longest(rest.slice(i, i + maxParallel))
  return spanMs
}
