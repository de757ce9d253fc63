import type { CapacityView, FleetUsage, NodeUsage, SiteUsage, UsageGroup } from '../../protocol/http/usage.ts'
import type { Shape } from '../output/print.ts'
import { agoText, bytesText, plain, plural, spanText, timeText } from '../output/words.ts'
import { mean, newest, peak, percentText, shareBar, sparkline, type Ink, type Pen } from './chart.ts'

/** What resources look like to a person: views in, lines out. */

const barWidth = 10

type Series = readonly (number | null)[]
type Resources = { cpu: Series; cpuMax: Series; memory: Series; receivedBytesPerS: Series; sentBytesPerS: Series; pods: Series }

const line = (title: string, series: Series, top: number, words: string, { ink, width }: Pen): string => `  ${title.padEnd(12)} ${sparkline(series, top, width, ink).padEnd(width)}  ${words}`.trimEnd()
const rateText = (bytesPerS: number | null): string => (bytesPerS === null ? '-' : `${bytesText(bytesPerS)}/s`)

function resourceLines({ cpu, cpuMax, memory, receivedBytesPerS, sentBytesPerS, pods }: Resources, memoryBytes: number | null, pen: Pen): string[] {
  const shares = (title: string, series: Series, most: Series, more: string): string =>
    line(title, series, 1, `now ${percentText(newest(series))}, mean ${percentText(mean(series))}, peak ${percentText(peak(most))}${more}`, pen)
  const rates = (title: string, series: Series): string => line(title, series, peak(series) ?? 0, `now ${rateText(newest(series))}, mean ${rateText(mean(series))}, peak ${rateText(peak(series))}`, pen)
  return [
    shares('cpu', cpu, cpuMax, ''), shares('memory', memory, memory, memoryBytes === null ? '' : ` of ${bytesText(memoryBytes)}`),
    rates('received', receivedBytesPerS), rates('sent', sentBytesPerS),
    ...(peak(pods) === null ? [] : [line('pods', pods, peak(pods)!, `now ${Math.round(newest(pods)!)}, peak ${Math.round(peak(pods)!)}`, pen)]),
  ]
}

function nodeLines(node: NodeUsage, pen: Pen): string[] {
  const { ink, width } = pen
  const pathWidth = Math.max(10, ...node.filesystems.map(({ path }) => path.length))
  const filesystems = [...node.filesystems].sort((a, b) => (newest(b.used) ?? 0) - (newest(a.used) ?? 0)).map(({ path, used, sizeBytes }) => {
    const share = newest(used)
    return `  ${path.padEnd(pathWidth)} ${share === null ? ' '.repeat(barWidth) : shareBar(share, barWidth, ink)} ${percentText(share).padStart(5)} of ${bytesText(sizeBytes)}  ${sparkline(used, 1, Math.max(1, width - barWidth), ink)}`
  })
  return ['', node.node, ...resourceLines(node, node.memoryBytes, pen), ...filesystems]
}

const rangeText = ({ from, to, stepMs }: { from: string; to: string; stepMs: number }): string => `${timeText(from)} to ${timeText(to)}, by ${spanText(stepMs)}`
const shown = (lines: readonly string[]): string => lines.map((each) => `${plain(each).replaceAll('\n', ' ')}\n`).join('')

/** A site and each of its nodes. */
export function siteUsageText(usage: SiteUsage, node: string | null, pen: Pen): string {
  const head = `${usage.site}  ${rangeText(usage)}`
  if (usage.nodes.length === 0) return shown([head, `  it has said nothing ${node === null ? '' : `of a node ${node} `}in that time`])
  return shown([head, ...(usage.nodes.length > 1 ? resourceLines(usage, null, pen) : []), ...usage.nodes.flatMap((node) => nodeLines(node, pen))])
}

function groupLines(group: UsageGroup, by: string | null, pen: Pen): string[] {
  const title = by === null ? 'all sites' : group.value === null ? `without ${by}` : `${by}=${group.value}`
  const fullest = line('fullest', group.fullestFilesystem, 1, `now ${percentText(newest(group.fullestFilesystem))}, peak ${percentText(peak(group.fullestFilesystem))}`, pen)
  return ['', `${title}: ${plural(group.sites, 'site')}, ${plural(group.nodes, 'node')}`, ...resourceLines(group, null, pen), fullest]
}

/** The fleet, together or by a label. */
export function fleetUsageText(usage: FleetUsage, by: string | null, pen: Pen): string {
  if (usage.groups.every(({ sites }) => sites === 0)) return shown([rangeText(usage), '  no site has said anything in that time'])
  return shown([rangeText(usage), ...usage.groups.flatMap((group) => groupLines(group, by, pen))])
}

/** The fullest filesystem of each site. */
export const capacityShape = (nowMs: number, ink: Ink): Shape<CapacityView> => ({
  nameOf: (capacity) => capacity.site,
  none: 'nothing is known of any filesystem yet',
  columns: [
    { title: 'SITE', value: (capacity) => capacity.site },
    { title: 'NODE', value: (capacity) => capacity.node },
    { title: 'FILESYSTEM', value: (capacity) => capacity.path },
    { title: 'USED', value: (capacity) => `${shareBar(capacity.used, barWidth, ink)} ${percentText(capacity.used)}`, tint: ({ used }) => (used >= 0.95 ? 'red' : used >= 0.85 ? 'yellow' : null) },
    { title: 'SIZE', value: (capacity) => bytesText(capacity.sizeBytes), align: 'right' },
    { title: 'GROWS A DAY', value: ({ growthBytesPerDay: growth }) => (growth === null ? '-' : `${growth < 0 ? '-' : ''}${bytesText(Math.abs(growth))}`), align: 'right' },
    { title: 'FULL IN', value: ({ daysLeft }) => (daysLeft === null ? '-' : daysLeft < 1 ? 'less than a day' : plural(Math.floor(daysLeft), 'day')), align: 'right' },
    { title: 'MEASURED', value: (capacity) => `${agoText(capacity.measuredAt, nowMs)} ago`, wide: true },
  ],
})
