import { FleetError } from '../../protocol/errors.ts'
import { at } from '../../protocol/http/contract.ts'
import { limits } from '../../protocol/limits.ts'

/** The steps of a series: `count` of `stepMs` each, the first from `fromMs` on, all at multiples of `stepMs`. */
export type Grid = { fromMs: number; stepMs: number; count: number }

/** A series has at most so many steps. */
const stepsMax = 500
const minuteMs = 60_000
/** Steps that people read easily; longer ones are whole days. */
const usualMs = [1, 5, 15, 60, 180, 360, 720, 1440].map((minutes) => minutes * minuteMs)
const dayMs = 86_400_000

/**
 * The steps of what was asked: the last day unless said otherwise, no further back than anything is kept and no further on than now. A step is
 * lengthened to a multiple of `unitMs`, and until the series has at most 500. Throws `bad-request` for a range that is empty.
 */
export function layGrid(asked: { from?: string | undefined; to?: string | undefined; step?: number | undefined }, nowMs: number, unitMs = minuteMs): Grid {
  const toMs = Math.min(asked.to === undefined ? nowMs : Date.parse(asked.to), nowMs)
  const fromMs = Math.max(asked.from === undefined ? toMs - dayMs : Date.parse(asked.from), nowMs - limits.metricKeptMs)
  if (fromMs >= toMs) throw new FleetError('bad-request', 'the range is empty: from must be before to, and not in the future', { errors: [{ path: 'query.from', message: 'must be before to, and not in the future' }] })
  const leastMs = Math.max(asked.step ?? 0, (toMs - fromMs) / (stepsMax - 1))
  const usual = asked.step !== undefined && leastMs === asked.step ? leastMs : (usualMs.find((each) => each >= leastMs) ?? Math.ceil(leastMs / dayMs) * dayMs)
  const stepMs = Math.ceil(usual / unitMs) * unitMs
  const startMs = Math.floor(fromMs / stepMs) * stepMs
  return { fromMs: startMs, stepMs, count: Math.ceil((toMs - startMs) / stepMs) }
}

export const endOf = ({ fromMs, stepMs, count }: Grid): number => fromMs + stepMs * count
/** Which step a time is in; null outside. */
export function stepAt({ fromMs, stepMs, count }: Grid, timeMs: number): number | null {
  const step = Math.floor((timeMs - fromMs) / stepMs)
  return step < 0 || step >= count ? null : step
}

/** The head of an answer. */
export const viewGrid = (grid: Grid) => ({ from: at(grid.fromMs), to: at(endOf(grid)), stepMs: grid.stepMs, times: Array.from({ length: grid.count }, (_, i) => at(grid.fromMs + i * grid.stepMs)) })
