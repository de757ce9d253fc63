import type { Filesystem } from './summarize.ts'

/** The filesystems of a site at the end of a day. */
export type DayOfFilesystems = { day: number; filesystems: readonly Filesystem[] }

/** With fewer days nothing is said: two points make a line, but not a tendency. */
const daysMin = 4
/** What is full only after so many days is not filling. */
const daysLeftMax = 3650

/** Bytes a day that each filesystem of the newest day grew by, and in how many days the first of all is full; null where it does not fill, or too little is known. */
export function judgeGrowth(days: readonly DayOfFilesystems[]): { growthOf(filesystem: Pick<Filesystem, 'node' | 'path'>): number | null; daysLeft: number | null } {
  const newest = days.reduce<DayOfFilesystems | null>((latest, each) => (latest === null || each.day > latest.day ? each : latest), null)
  const judged = (newest?.filesystems ?? []).map((filesystem) => {
    const growth = growthBytesPerDay(days, filesystem)
    const freeBytes = (filesystem.sizeBytes * (1000 - filesystem.used)) / 1000
    const daysLeft = growth === null || growth <= 0 ? null : freeBytes / growth
    return { ...filesystem, growth, daysLeft: daysLeft === null || daysLeft > daysLeftMax ? null : Math.round(daysLeft * 10) / 10 }
  })
  const left = judged.map(({ daysLeft }) => daysLeft).filter((value) => value !== null)
  return {
    growthOf: ({ node, path }) => judged.find((each) => each.node === node && each.path === path)?.growth ?? null,
    daysLeft: left.length === 0 ? null : Math.min(...left),
  }
}

/** The median of the slopes between every two days (Theil and Sen): a day of clearing up, or of one large file, does not bend it. */
function growthBytesPerDay(days: readonly DayOfFilesystems[], { node, path }: Filesystem): number | null {
  const points = days.flatMap(({ day, filesystems }) => filesystems.filter((each) => each.node === node && each.path === path).map(({ sizeBytes, used }) => ({ day, bytes: (sizeBytes * used) / 1000 })))
  if (points.length < daysMin) return null
  const slopes = points.flatMap((a, i) => points.slice(i + 1).filter((b) => b.day !== a.day).map((b) => (b.bytes - a.bytes) / (b.day - a.day))).sort((a, b) => a - b)
  if (slopes.length === 0) return null
  const half = slopes.length / 2
  return Math.round(slopes.length % 2 === 1 ? slopes[Math.floor(half)]! : (slopes[half - 1]! + slopes[half]!) / 2)
}
