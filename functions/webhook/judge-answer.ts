import type { Answer, SendFault } from '../ports/http-sender.ts'

/** What an answer means: taken; gone for good; or not taken, and perhaps nothing wanted for so long. */
export type Verdict = { kind: 'delivered' } | { kind: 'gone' } | { kind: 'failed'; retryAfterMs: number | null }

const retryAfterMsMax = 86_400_000

/** Any 2xx takes a message. 410 says that there is nobody any more. Everything else is a failure, redirects too. */
export function judgeAnswer(answer: Answer | SendFault, nowMs: number): Verdict {
  if (!('status' in answer)) return { kind: 'failed', retryAfterMs: null }
  if (answer.status >= 200 && answer.status < 300) return { kind: 'delivered' }
  if (answer.status === 410) return { kind: 'gone' }
  const wanted = Object.entries(answer.headers).find(([name]) => name.toLowerCase() === 'retry-after')?.[1]
  return { kind: 'failed', retryAfterMs: wanted === undefined ? null : retryAfterMsOf(wanted.trim(), nowMs) }
}

/** Seconds or a date (RFC 9110 §10.2.3), at most a day; null for what is neither, or over. */
function retryAfterMsOf(text: string, nowMs: number): number | null {
  // a parser of dates takes much for one that is none
  const spanMs = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : /^[A-Z][a-z]+, .* GMT$/.test(text) ? Date.parse(text) - nowMs : Number.NaN
  return Number.isNaN(spanMs) || spanMs <= 0 ? null : Math.min(spanMs, retryAfterMsMax)
}
