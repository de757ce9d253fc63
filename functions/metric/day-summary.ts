import type { MetricBlock } from '../../protocol/metrics.ts'
import { filesystemsOf, summarize, type Filesystem, type Summary } from './summarize.ts'

/** A day in one line: growth is worked out from its filesystems, the fullest first. */
export type DaySummary = Summary & { filesystems: readonly Filesystem[] }

/** Filesystems of a site that a day remembers. */
const filesystemsMax = 64

export const daySummaryOf = (blocks: readonly MetricBlock[]): DaySummary => ({ ...summarize(blocks).summary, filesystems: filesystemsOf(blocks).slice(0, filesystemsMax) })
/** A line that `daySummaryOf` has made. */
export const readDaySummary = (text: string): DaySummary => JSON.parse(text) as DaySummary
