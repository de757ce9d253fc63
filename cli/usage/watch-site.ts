import { usageContracts } from '../../protocol/http/usage.ts'
import { limits } from '../../protocol/limits.ts'
import type { LiveSample, NodeMetrics } from '../../protocol/metrics.ts'
import type { Client } from '../client.ts'
import type { Io } from '../io.ts'
import { writeJson, type OutputFormat } from '../output/print.ts'
import { bytesText, plain, timeText } from '../output/words.ts'
import { createScreen } from '../watch/screen.ts'
import { newest, percentText, shareBar, sparkline, type Ink } from './chart.ts'

const chartWidth = 40
const barWidth = 10
/** Asked for again well before it ends, so that no sample is missed in between. */
const renewMs = limits.liveForMs / 2

/** Shows what a site does right now until `endMs`: drawn in place on a terminal, a line for each node and sample elsewhere, and one for each sample in JSON. The site sends faster samples while somebody looks, and stops by itself. */
export async function watchSite(client: Client, io: Pick<Io, 'out' | 'terminal' | 'nowMs' | 'sleep'>, site: string, { format, ink, endMs }: { format: OutputFormat; ink: Ink; endMs: number }): Promise<void> {
  const screen = io.terminal() === null || format === 'json' ? null : createScreen(io)
  let askedMs = Number.NEGATIVE_INFINITY
  let shownMs = 0
  while (io.nowMs() < endMs) {
    if (io.nowMs() - askedMs >= renewMs) {
      await client.call(usageContracts.startLive, { params: { site } })
      askedMs = io.nowMs()
    }
    const { samples } = await client.call(usageContracts.getLive, { params: { site } })
    if (screen !== null) screen.draw(liveLines(site, samples, ink))
    else for (const sample of samples.filter(({ atMs }) => atMs > shownMs)) io.out(format === 'json' ? writeJson(sample, 0) : sample.nodes.map((node) => `${plain(sampleLine(sample.atMs, node)).replaceAll('\n', ' ')}\n`).join(''))
    shownMs = samples.at(-1)?.atMs ?? shownMs
    await io.sleep(Math.min(limits.liveEveryS * 1000, Math.max(0, endMs - io.nowMs())))
  }
}

const share = (permille: readonly (number | null)[]): number | null => {
  const value = newest(permille)
  return value === null ? null : value / 1000
}
const rateText = (bytesPerS: readonly (number | null)[]): string => (newest(bytesPerS) === null ? '-' : `${bytesText(newest(bytesPerS)!)}/s`)
const timeOf = (atMs: number): string => timeText(new Date(atMs).toISOString())

function sampleLine(atMs: number, node: NodeMetrics): string {
  const filesystems = node.filesystems.map(({ path, used }) => `${path} ${percentText(share(used))}`)
  return [timeOf(atMs), node.node, `cpu ${percentText(share(node.cpu))}`, `memory ${percentText(share(node.memory))}`, `received ${rateText(node.received)}`, `sent ${rateText(node.sent)}`, ...filesystems].join('  ')
}

/** Each node of the newest sample, with its last samples as a line. */
function liveLines(site: string, samples: readonly LiveSample[], ink: Ink): string[] {
  const last = samples.at(-1)
  if (last === undefined) return [`${plain(site)}  waiting for its first sample; a site that is offline sends none`]
  const series = (name: string, of: (node: NodeMetrics) => readonly (number | null)[]): (number | null)[] => samples.map(({ nodes }) => newest(nodes.filter(({ node }) => node === name).flatMap(of)))
  const lines = last.nodes.flatMap((node) => {
    const shares = (title: string, of: (node: NodeMetrics) => readonly (number | null)[]): string =>
      `  ${title.padEnd(8)} ${percentText(share(of(node))).padStart(5)}  ${sparkline(series(node.node, of), 1000, chartWidth, ink)}`
    return [
      node.node, shares('cpu', ({ cpu }) => cpu), shares('memory', ({ memory }) => memory), `  network  received ${rateText(node.received)}, sent ${rateText(node.sent)}`,
      ...node.filesystems.map(({ path, used }) => `  ${shareBar(share(used) ?? 0, barWidth, ink)} ${percentText(share(used)).padStart(5)}  ${path}`),
    ]
  })
  return [`${site}  ${timeOf(last.atMs)}`, ...lines].map((each) => plain(each).replaceAll('\n', ' '))
}
