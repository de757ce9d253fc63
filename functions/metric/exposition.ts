/** One number with its labels; `suffix` and the order of the samples are what a histogram is made of. `atMs`: when it was so, where that is not now. */
export type Sample = { labels?: Record<string, string>; value: number; suffix?: '_bucket' | '_sum' | '_count'; atMs?: number }
/** All that is said under one name. */
export type Family = { name: string; type: 'gauge' | 'histogram'; help: string; samples: readonly Sample[] }

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

/** Prometheus' text format, version 0.0.4. What sites say goes into values of labels only, where it is escaped; a family without samples is left out. */
export function formatExposition(families: readonly Family[]): string {
  return families.filter(({ samples }) => samples.length > 0).map((family) => [`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.type}`, ...family.samples.map((sample) => formatSample(family.name, sample)), ''].join('\n')).join('')
}

function formatSample(name: string, { labels = {}, value, suffix, atMs }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${suffix ?? ''}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}${atMs === undefined ? '' : ` ${atMs}`}`
}

// half a surrogate pair has no bytes in UTF-8
const escaped = (text: string): string => text.toWellFormed().replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
