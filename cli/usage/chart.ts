import { bar } from '../watch/bar.ts'
import type { Io } from '../io.ts'

/** Unicode's blocks, or what every terminal has. */
export type Ink = 'blocks' | 'ascii'

const levels: Record<Ink, readonly string[]> = { blocks: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'], ascii: ['_', '.', '-', '=', '+', '*', '%', '#'] }

/** ASCII where it is asked for, or where the terminal's locale says that it knows no other. */
export function inkOf({ env }: Pick<Io, 'env'>, ascii: boolean | undefined): Ink {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find((value) => value !== undefined && value !== '')
  return ascii === true || env['TERM'] === 'linux' || (locale !== undefined && !/utf-?8/i.test(locale)) ? 'ascii' : 'blocks'
}

/** What lines are drawn with, and how many cells each has. */
export type Pen = { ink: Ink; width: number }
const widthMax = 48
/** Columns that a line's title and words take beside it. */
const besideWidth = 62

/** As wide as the terminal leaves room for, so that no line wraps on a usual one. */
export function penOf(io: Pick<Io, 'env' | 'terminal'>, ascii: boolean | undefined): Pen {
  return { ink: inkOf(io, ascii), width: Math.min(widthMax, Math.max(8, (io.terminal()?.columns ?? Number.POSITIVE_INFINITY) - besideWidth)) }
}

/** A series in `width` cells, from 0 at the bottom to `top`: each is the mean of what falls into it, a blank where nothing is known. Longer series are drawn together, shorter ones cell by cell. */
export function sparkline(series: readonly (number | null)[], top: number, width: number, ink: Ink): string {
  const cells = Math.min(width, series.length)
  return Array.from({ length: cells }, (_, i) => {
    const level = mean(series.slice(Math.floor((i * series.length) / cells), Math.floor(((i + 1) * series.length) / cells)))
    return level === null ? ' ' : levels[ink][Math.min(7, Math.max(0, Math.floor((top > 0 ? level / top : 0) * 8)))]!
  }).join('')
}

/** A share as a bar of `width` cells. */
export const shareBar = (share: number, width: number, ink: Ink): string => (ink === 'blocks' ? bar(share, width) : '#'.repeat(Math.round(Math.min(1, Math.max(0, share)) * width)).padEnd(width, '.'))

export function mean(series: readonly (number | null)[]): number | null {
  const known = series.filter((value) => value !== null)
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
}
export const newest = (series: readonly (number | null)[]): number | null => series.findLast((value) => value !== null) ?? null
export const peak = (series: readonly (number | null)[]): number | null => series.reduce<number | null>((most, value) => (value === null || (most !== null && most >= value) ? most : value), null)

/** `7 %`, `<1 %`; `-` where nothing is known. */
export const percentText = (share: number | null): string => (share === null ? '-' : share > 0 && share < 0.005 ? '<1 %' : `${Math.round(share * 100)} %`)
