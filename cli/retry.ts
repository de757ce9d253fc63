/** How often and how patiently the CLI tries again. */
const attemptsMax = 5
const firstDelayMs = 250
const delayMsMax = 8_000
/** A server that asks for more patience than this is reported instead. */
const retryAfterMsMax = 60_000

export type Patience = { sleep(spanMs: number): Promise<void>; random(): number }

/**
 * How long to wait before attempt number `attempt` (1 is the second try): full jitter over a doubling bound, and never less than
 * the server's own `Retry-After`. Null when it is time to give up.
 */
export function retryDelayMs(attempt: number, retryAfterMs: number, random: number): number | null {
  if (attempt >= attemptsMax || retryAfterMs > retryAfterMsMax) return null
  return Math.max(retryAfterMs, Math.round(random * Math.min(delayMsMax, firstDelayMs * 2 ** attempt)))
}

/** `Retry-After` in milliseconds, from seconds or a date; 0 without one. */
export function readRetryAfterMs(headers: Headers, nowMs: number): number {
  const text = headers.get('retry-after')?.trim()
  if (text === undefined) return 0
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? 0 : Math.max(0, date - nowMs)
}
