import * as z from 'zod'
import { limits } from './limits.ts'

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SPAN = /^(\d{1,9})(ms|s|m|h|d)$/

/** A length of time as people write it (`90s`, `15m`, `24h`, `30d`) or in milliseconds; parsed to milliseconds. */
export const Span = z
  .union([z.int().nonnegative(), z.string().regex(SPAN, 'must be a length of time such as 90s, 15m, 24h or 30d')])
  .transform((value) => {
    if (typeof value === 'number') return value
    const [, amount = '0', unit = 'ms'] = SPAN.exec(value) ?? []
    return Number(amount) * UNIT_MS[unit]!
  })
  .pipe(z.int().nonnegative().max(10 * 365 * 86_400_000))

/** Milliseconds as the largest unit that divides them: 900000 → `15m`. */
export function formatSpan(spanMs: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) if (spanMs !== 0 && spanMs % UNIT_MS[unit]! === 0) return `${spanMs / UNIT_MS[unit]!}${unit}`
  return `${spanMs}ms`
}

/** An IANA time zone that this runtime knows; `Atlantis/Capital` is refused. */
export const TimeZone = z.string().max(64).refine(
  (zone) => {
    try {
      new Intl.DateTimeFormat('en', { timeZone: zone })
      return true
    } catch {
      return false
    }
  },
  { message: 'is not an IANA time zone known here' },
)

/** An instant of RFC 3339, in UTC or with an offset. */
export const Instant = z.iso.datetime({ offset: true })

/** When a site may *start* a change: from each time the five-field cron pattern matches in the site's zone, for `duration`. */
export const Window = z.strictObject({ cron: z.string().max(100), duration: Span })
export type Window = z.infer<typeof Window>

const LocalDateTime = z.string().regex(/^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?)?$/, 'must be a local date or date and time such as 2026-12-20 or 2026-12-20T18:00')

/** The moment a zone-less date and time would be in UTC: for comparing two of them, and for telling whether one exists. */
const asUtcMs = (local: string): number => Date.parse(`${local.length === 10 ? `${local}T00:00` : local}Z`)
/** Date.parse takes the 30th of February for the 2nd of March: a date exists when it comes back as it was written. */
const exists = (local: string): boolean => !Number.isNaN(asUtcMs(local)) && new Date(asUtcMs(local)).toISOString().startsWith(local)
const ExistingDateTime = LocalDateTime.refine(exists, { message: 'is not a date that exists' })

/** When a site may not start a change, in the site's own zone; `to` is the first moment after it. */
export const Freeze = z
  .strictObject({ from: ExistingDateTime, to: ExistingDateTime, reason: z.string().max(limits.reasonLengthMax).default('') })
  .refine(({ from, to }) => !exists(from) || !exists(to) || asUtcMs(to) > asUtcMs(from), { message: 'must be after from', path: ['to'] })
export type Freeze = z.infer<typeof Freeze>
