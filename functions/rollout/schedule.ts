import { Cron } from 'croner'
import type { Freeze, Window } from '../../protocol/time.ts'

/** When a site may start: its own rules and the policy's, all in the site's time zone. */
export type StartRules = { timeZone: string; windows: readonly Window[]; freezes: readonly Freeze[] }

/** Why a site may not start now, and until when. */
export type StartBlocker = { code: 'freeze' | 'window'; text: string; untilMs: number }

/** Why a cron pattern cannot be used, or null. Five fields, as crontab(5) has them. */
export function cronFault(pattern: string): string | null {
  try {
    return new Cron(pattern, { mode: '5-part' }).nextRun() === null ? `cron pattern "${pattern}" never matches` : null
  } catch (error) {
    return `cron pattern "${pattern}" is not valid: ${error instanceof Error ? error.message : String(error)}`
  }
}

const localParts = (timeZone: string) =>
  new Intl.DateTimeFormat('en-CA', { timeZone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** Wall-clock reading at `timeMs` in a zone, as milliseconds of a UTC clock that shows the same digits. */
function wallClockMs(timeMs: number, format: Intl.DateTimeFormat): number {
  const parts = Object.fromEntries(format.formatToParts(timeMs).map((part) => [part.type, Number(part.value)]))
  return Date.UTC(parts.year!, parts.month! - 1, parts.day!, parts.hour!, parts.minute!, parts.second!)
}

/** A local date or date and time of a zone as an instant. For one in the hour that clocks skip: within an hour of where they skip. */
export function localToInstantMs(local: string, timeZone: string): number {
  const wanted = Date.parse(`${local.length === 10 ? `${local}T00:00` : local}Z`)
  const format = localParts(timeZone)
  let guess = wanted
  for (let i = 0; i < 3; i++) guess += wanted - wallClockMs(guess, format)
  return guess
}

/** The window that is open at `nowMs`, or the next one; null when the pattern never matches again. */
function windowAround(window: Window, timeZone: string, nowMs: number): { startMs: number; endMs: number } | null {
  const cron = new Cron(window.cron, { timezone: timeZone, mode: '5-part' })
  const start = cron.nextRun(new Date(nowMs - window.duration))
  return start === null ? null : { startMs: start.getTime(), endMs: start.getTime() + window.duration }
}

const never = 8_640_000_000_000_000

/** Whether a start is allowed at `nowMs`: no freeze stands, and each set of windows that is not empty has one open. Null when it is. */
export function startBlocker(rules: StartRules, policy: { windows: readonly Window[]; freezes: readonly Freeze[] }, nowMs: number): StartBlocker | null {
  for (const freeze of [...rules.freezes, ...policy.freezes]) {
    const fromMs = localToInstantMs(freeze.from, rules.timeZone)
    const toMs = localToInstantMs(freeze.to, rules.timeZone)
    if (fromMs <= nowMs && nowMs < toMs) return { code: 'freeze', text: `frozen until ${freeze.to} ${rules.timeZone}${freeze.reason === '' ? '' : `: ${freeze.reason}`}`, untilMs: toMs }
  }
  for (const windows of [rules.windows, policy.windows]) {
    if (windows.length === 0) continue
    const around = windows.flatMap((window) => windowAround(window, rules.timeZone, nowMs) ?? [])
    if (around.some((w) => w.startMs <= nowMs)) continue
    const untilMs = Math.min(never, ...around.map((w) => w.startMs))
    return { code: 'window', text: untilMs === never ? 'no maintenance window ever opens' : `waits for its maintenance window in ${rules.timeZone}`, untilMs }
  }
  return null
}
