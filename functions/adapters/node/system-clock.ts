import type { Clock } from '../../ports/clock.ts'

/** The platform's own wall clock. */
export const systemClock: Clock = { nowMs: () => Date.now(), pause: (spanMs) => new Promise((resolve) => setTimeout(resolve, spanMs)) }
