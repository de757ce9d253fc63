import { sql } from 'drizzle-orm'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock, NodeMetrics } from '../../protocol/metrics.ts'
import type { Ctx } from '../context.ts'
import type { Family, Sample } from './exposition.ts'
import { slotOf } from './ring.ts'

/** Blocks that are looked for, from now backwards: what is older is not the present any more. */
const blocksBack = 4

/** The newest sample of each series of a page of sites, in the order of their names, with the time it is of. Reads a site's row and at most five of its ring for each, and one body. */
export async function exposeSites(ctx: Ctx, page: { after: string; limit: number }): Promise<{ families: Family[]; next: string | null }> {
  const sites = await ctx.db.orm.all<{ id: string; presence: string }>(sql`SELECT id, presence FROM site WHERE id > ${page.after} AND state = 'enrolled' ORDER BY id LIMIT ${page.limit + 1}`)
  const shown = sites.slice(0, page.limit)
  const newestMs = Math.floor(ctx.nowMs / limits.metricBlockMs) * limits.metricBlockMs
  const slots = Array.from({ length: blocksBack }, (_, i) => slotOf(newestMs - i * limits.metricBlockMs))
  const blocks = await ctx.db.orm.all<{ site_id: string; start_ms: number; body: string }>(sql`
    SELECT b.site_id, b.start_ms, b.body FROM json_each(${JSON.stringify(shown.map(({ id }) => id))}) AS j JOIN metric_block b ON b.site_id = j.value AND b.slot = (
      SELECT n.slot FROM metric_block n WHERE n.site_id = j.value AND n.slot IN ${slots} AND n.start_ms > ${newestMs - blocksBack * limits.metricBlockMs} AND n.start_ms <= ${newestMs} ORDER BY n.start_ms DESC LIMIT 1)`)
  return { families: [presenceFamily(shown), ...nodeFamilies(blocks.map(({ site_id, start_ms, body }) => ({ site: site_id, block: { startMs: start_ms, ...(JSON.parse(body) as Omit<MetricBlock, 'startMs'>) } })))], next: sites.length > page.limit ? shown.at(-1)!.id : null }
}

const presenceFamily = (sites: readonly { id: string; presence: string }[]): Family => ({
  name: 'murmur_site_online', type: 'gauge', help: 'Whether a site is online.', samples: sites.map(({ id, presence }) => ({ labels: { site: id }, value: presence === 'online' ? 1 : 0 })),
})

type Said = { site: string; block: MetricBlock }

function nodeFamilies(said: readonly Said[]): Family[] {
  const ofNodes = (name: string, help: string, series: (node: NodeMetrics) => readonly (number | null)[] | undefined, divisor = 1): Family => ({
    name, type: 'gauge', help, samples: said.flatMap(({ site, block }) => block.nodes.flatMap((node) => newestOf(block, series(node) ?? [], { site, node: node.node }, divisor))),
  })
  const ofFilesystems = (name: string, help: string, samples: (block: MetricBlock, filesystem: NodeMetrics['filesystems'][number], labels: Record<string, string>) => Sample[]): Family => ({
    name, type: 'gauge', help, samples: said.flatMap(({ site, block }) => block.nodes.flatMap((node) => node.filesystems.flatMap((filesystem) => samples(block, filesystem, { site, node: node.node, path: filesystem.path })))),
  })
  return [
    ofNodes('murmur_node_cpu_ratio', 'Use of the processors of a node.', ({ cpu }) => cpu, 1000),
    ofNodes('murmur_node_memory_ratio', 'Use of the memory of a node.', ({ memory }) => memory, 1000),
    ofNodes('murmur_node_received_bytes_per_second', 'What a node receives over its watched interfaces.', ({ received }) => received),
    ofNodes('murmur_node_sent_bytes_per_second', 'What a node sends over its watched interfaces.', ({ sent }) => sent),
    ofNodes('murmur_node_pods', 'Pods that run on a node.', ({ pods }) => pods),
    ofFilesystems('murmur_node_filesystem_used_ratio', 'How full a filesystem is.', (block, { used }, labels) => newestOf(block, used, labels, 1000)),
    ofFilesystems('murmur_node_filesystem_size_bytes', 'How large a filesystem is.', (block, { sizeBytes, used }, labels) => newestOf(block, used, labels, 1).map((sample) => ({ ...sample, value: sizeBytes }))),
  ]
}

function newestOf(block: MetricBlock, series: readonly (number | null)[], labels: Record<string, string>, divisor: number): Sample[] {
  const last = series.findLastIndex((value) => value !== null)
  return last < 0 ? [] : [{ labels, value: series[last]! / divisor, atMs: block.startMs + last * block.stepS * 1000 }]
}
