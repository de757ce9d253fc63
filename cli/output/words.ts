/** How numbers, times and other people's text are shown. */

const units = ['B', 'kB', 'MB', 'GB', 'TB']

/** 1234567 → `1.2 MB`. */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]!}`
}

/** A length of time in at most two units: 3725000 → `1h2m`. */
export function spanText(spanMs: number): string {
  const seconds = Math.max(0, Math.round(spanMs / 1000))
  const parts = [[Math.floor(seconds / 86_400), 'd'], [Math.floor(seconds / 3600) % 24, 'h'], [Math.floor(seconds / 60) % 60, 'm'], [seconds % 60, 's']] as const
  const first = parts.findIndex(([amount]) => amount > 0)
  if (first < 0) return '0s'
  return parts.slice(first, first + 2).filter(([amount]) => amount > 0).map(([amount, unit]) => `${amount}${unit}`).join('')
}

/** How long ago an RFC 3339 time was; `-` for none. */
export const agoText = (at: string | null, nowMs: number): string => (at === null ? '-' : spanText(nowMs - Date.parse(at)))

/** `2026-05-01T10:00:00.000Z` → `2026-05-01 10:00:00Z`; `-` for none. */
export const timeText = (at: string | null): string => (at === null ? '-' : at.replace('T', ' ').replace(/\.\d+Z$/, 'Z'))

/** Text of other parties without what a terminal would obey: control, format and direction characters become spaces (F71). */
export const plain = (text: string): string => text.replaceAll(/[^\P{C}\n\t]/gu, ' ')

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
