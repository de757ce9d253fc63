import { InvalidArgumentError } from 'commander'
import { Instant, Span } from '../protocol/time.ts'

/** Parsers of option values, for commander: what they throw becomes a usage error that names the option. */

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** A length of time in milliseconds. */
export function span(text: string): number {
  const parsed = Span.safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError('It must be a length of time such as 90s, 15m, 24h or 30d.')
  return parsed.data
}

/** A number, or a percentage as it is. */
export function amount(text: string): number | string {
  if (!/^\d{1,9}$|^\d{1,3}(\.\d{1,2})?%$/.test(text)) throw new InvalidArgumentError('It must be a number of sites or a percentage such as 10%.')
  return text.endsWith('%') ? text : Number(text)
}

/** `key=value`, gathered over repeated options. */
export function keyValue(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It must be key=value.')
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) }
}

/** A number with or without a fraction. */
export function decimal(text: string): number {
  if (!/^\d{1,9}(\.\d{1,3})?$/.test(text)) throw new InvalidArgumentError('It must be a number such as 20 or 0.5.')
  return Number(text)
}

/** A whole number that may be below zero. */
export function integer(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** A moment as the API writes it, from RFC 3339 in UTC or with an offset. */
export function instant(text: string): string {
  const parsed = Instant.safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError('It must be a time such as 2026-05-01T22:00:00Z or 2026-05-02T00:00:00+02:00.')
  return new Date(parsed.data).toISOString()
}
