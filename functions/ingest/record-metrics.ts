import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import type { Ctx } from '../context.ts'
import { judgeBlock } from '../metric/judge-block.ts'
import { slotOf } from '../metric/ring.ts'
import { summarize, type Filesystem } from '../metric/summarize.ts'
import type { Folded } from './fold.ts'

type Kept = Folded['metrics'][number] & { block: MetricBlock; summary: string; fullest: Filesystem | null }

/** What counts as a move of the fullest filesystem, in permille; another one that is about as full is said every so often. */
const movedPermille = 10
const otherFilesystemMs = 6 * 3_600_000
/** Samples of a live view that are kept. */
const liveSamplesMax = 60

/**
 * Blocks and live samples of sites. A block is one row, written over what its slot held before, guarded by the site's incarnation and
 * (start, sequence): what comes twice, late or out of order changes nothing twice (F49). A site's capacity is one row more, and
 * only when its fullest filesystem moved. Live samples are kept only while somebody looks.
 */
export function metricStatements(ctx: Ctx, folded: Pick<Folded, 'metrics' | 'lives'>): Statement[] {
  const kept = judge(ctx, folded.metrics)
  const filled = [...Map.groupBy(kept.filter(({ fullest }) => fullest !== null), ({ site }) => site).values()].map((blocks) => blocks.reduce((a, b) => (b.block.startMs > a.block.startMs ? b : a)))
  return [...(kept.length > 0 ? [blockStatement(ctx, kept)] : []), ...(filled.length > 0 ? [capacityStatement(ctx, filled)] : []), ...(folded.lives.length > 0 ? [liveStatement(ctx, folded.lives)] : [])]
}

function judge(ctx: Ctx, metrics: Folded['metrics']): Kept[] {
  const kept: Kept[] = []
  const refused: { site: string; startMs: number; reason: string }[] = []
  for (const report of metrics) {
    const judged = judgeBlock(report.block, ctx.nowMs)
    if (!judged.ok) {
      refused.push({ site: report.site, startMs: report.block.startMs, reason: judged.refusal })
      continue
    }
    const { summary, fullest } = summarize([judged.value])
    kept.push({ ...report, block: judged.value, summary: JSON.stringify(summary), fullest })
  }
  if (refused.length > 0) ctx.log.write('warn', 'metrics.refused', { count: refused.length, first: refused[0], requestId: ctx.requestId })
  return kept
}

const ofEnrolled = (incarnation: string): string => `JOIN site s ON s.id = j.value->>0 AND s.incarnation = ${incarnation} AND s.state = 'enrolled'`

function blockStatement(ctx: Ctx, kept: readonly Kept[]): Statement {
  const rows = kept.map(({ site, incarnation, seq, block: { startMs, ...body }, summary }) => [site, incarnation, seq, slotOf(startMs), startMs, summary, JSON.stringify(body)])
  return {
    sql: `INSERT INTO metric_block (site_id, slot, start_ms, received_ms, incarnation, seq, summary, body)
          SELECT s.id, j.value->>3, j.value->>4, ?, j.value->>1, j.value->>2, j.value->>5, j.value->>6 FROM json_each(?) AS j ${ofEnrolled('j.value->>1')} WHERE true
          ON CONFLICT (site_id, slot) DO UPDATE SET start_ms = excluded.start_ms, received_ms = excluded.received_ms, incarnation = excluded.incarnation, seq = excluded.seq, summary = excluded.summary, body = excluded.body
          WHERE (excluded.start_ms, excluded.incarnation, excluded.seq) > (metric_block.start_ms, metric_block.incarnation, metric_block.seq)`,
    args: [ctx.nowMs, JSON.stringify(rows)],
  }
}

/** A filesystem that takes the place of another has not been seen to grow. */
function capacityStatement(ctx: Ctx, filled: readonly Kept[]): Statement {
  const rows = filled.map(({ site, incarnation, block, fullest }) => [site, incarnation, fullest!.used, fullest!.node, fullest!.path, fullest!.sizeBytes, Math.min(block.startMs + limits.metricBlockMs, ctx.nowMs)])
  return {
    sql: `INSERT INTO capacity (site_id, used, node, path, size_bytes, growth_bytes_per_day, days_left, measured_ms)
          SELECT s.id, j.value->>2, j.value->>3, j.value->>4, j.value->>5, NULL, NULL, j.value->>6 FROM json_each(?) AS j ${ofEnrolled('j.value->>1')} WHERE true
          ON CONFLICT (site_id) DO UPDATE SET used = excluded.used, node = excluded.node, path = excluded.path, size_bytes = excluded.size_bytes, measured_ms = excluded.measured_ms,
            growth_bytes_per_day = CASE WHEN (excluded.node, excluded.path) = (capacity.node, capacity.path) THEN capacity.growth_bytes_per_day END
          WHERE excluded.measured_ms > capacity.measured_ms AND (abs(excluded.used - capacity.used) >= ${movedPermille}
            OR ((excluded.node, excluded.path, excluded.size_bytes) <> (capacity.node, capacity.path, capacity.size_bytes) AND excluded.measured_ms >= capacity.measured_ms + ${otherFilesystemMs}))`,
    args: [JSON.stringify(rows)],
  }
}

function liveStatement(ctx: Ctx, lives: Folded['lives']): Statement {
  const rows = [...Map.groupBy(lives, ({ site }) => site)].map(([site, said]) => {
    const incarnation = Math.max(...said.map((each) => each.incarnation))
    const samples = said.filter((each) => each.incarnation === incarnation && JSON.stringify(each.sample).length <= limits.metricBlockBytesMax).sort((a, b) => a.seq - b.seq)
    return [site, incarnation, samples.at(-1)?.seq ?? 0, samples.map(({ seq, sample }) => [seq, sample])]
  })
  return {
    sql: `UPDATE live_view SET seq = j.value->>2, samples = (
            SELECT json_group_array(json(sample)) FROM (SELECT sample FROM (
              SELECT value AS sample, 0 AS lot, key AS place FROM json_each(live_view.samples)
              UNION ALL SELECT value->1, 1, key FROM json_each(j.value->3) WHERE value->>0 > live_view.seq
              ORDER BY lot DESC, place DESC LIMIT ${liveSamplesMax}) ORDER BY lot, place))
          FROM json_each(?) AS j ${ofEnrolled('j.value->>1')} WHERE live_view.site_id = s.id AND live_view.until_ms > ? AND live_view.seq < j.value->>2`,
    args: [JSON.stringify(rows), ctx.nowMs],
  }
}
