import type { Random } from './random.ts'

/** How often what goes wrong; probabilities per occasion unless the name says otherwise. */
export type Chaos = {
  /** The controller's database and invocations. */
  readFailed: number
  writeSlow: number
  /** A process stands still before it writes, for up to half an hour (F54). */
  frozen: number
  writeFailed: number
  writeUnknown: number
  guardLost: number
  killBefore: number
  killAfter: number
  tickSkipped: number
  /** Two to eight of the same at once. */
  ticksOverlap: number
  /** Between the controller and the broker. */
  publishRefused: number
  publishAckLost: number
  reportLate: number
  reportTwice: number
  reportLost: number
  directiveLate: number
  directiveTwice: number
  directiveLost: number
  /** HTTP. */
  requestLost: number
  responseLost: number
  serverError: number
  bodyTruncated: number
  bytesFlipped: number
  /** Longest one-way delay on a site's line. */
  latencyMsMax: number
}

export const calm: Chaos = {
  readFailed: 0, writeSlow: 0, frozen: 0, writeFailed: 0, writeUnknown: 0, guardLost: 0, killBefore: 0, killAfter: 0, tickSkipped: 0, ticksOverlap: 0,
  publishRefused: 0, publishAckLost: 0, reportLate: 0, reportTwice: 0, reportLost: 0, directiveLate: 0, directiveTwice: 0, directiveLost: 0,
  requestLost: 0, responseLost: 0, serverError: 0, bodyTruncated: 0, bytesFlipped: 0, latencyMsMax: 200,
}

const worst: Chaos = {
  readFailed: 0.03, writeSlow: 0.2, frozen: 0.005, writeFailed: 0.1, writeUnknown: 0.05, guardLost: 0.05, killBefore: 0.04, killAfter: 0.04, tickSkipped: 0.3, ticksOverlap: 0.2,
  publishRefused: 0.1, publishAckLost: 0.1, reportLate: 0.05, reportTwice: 0.1, reportLost: 0.02, directiveLate: 0.05, directiveTwice: 0.1, directiveLost: 0.05,
  requestLost: 0.1, responseLost: 0.1, serverError: 0.1, bodyTruncated: 0.1, bytesFlipped: 0.03, latencyMsMax: 20_000,
}

/** A storm of its own for each seed: every kind of fault is absent, rare or as bad as it gets. */
export function drawChaos(random: Random): Chaos {
  const chaos = { ...calm }
  for (const key of Object.keys(chaos) as (keyof Chaos)[]) {
    const strength = random.pick([0, 0.2, 1])
    chaos[key] = key === 'latencyMsMax' ? random.pick([50, 500, worst.latencyMsMax]) : worst[key] * strength
  }
  return chaos
}
