import { sql } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { needsNewerAgent } from './judge.ts'
import type { AgentUpdate, SiteFacts, TargetFacts } from './snapshot.ts'

/** How long after its end an update may wait for the hello that shows the new agent. */
const helloGraceMs = 10 * 60_000

/** A deployment whose site may need a newer agent. */
type Wanting = { site: SiteFacts; target: TargetFacts | undefined }

/**
 * For the sites whose agent is too old for their target: which other rollout is on its way to bring one that is new enough. Nothing is read
 * where no agent is too old; else the unfinished deployments of these sites.
 */
export async function gatherAgentUpdates(ctx: Ctx, rolloutId: string, wanting: readonly Wanting[]): Promise<Map<string, AgentUpdate>> {
  const needs = wanting.flatMap(({ site, target }) => (target !== undefined && needsNewerAgent(site, target.manifest) ? [[site.id, target.manifest.protocolMin]] : []))
  if (needs.length === 0) return new Map()
  const rows = await ctx.db.orm.all<{ site_id: string; id: string; name: string; release: string }>(sql`
    SELECT d.site_id, r.id, r.name, x.id AS release
    FROM json_each(${JSON.stringify(needs)}) AS j JOIN deployment d ON d.site_id = j.value->>0 JOIN rollout r ON r.id = d.rollout_id JOIN release x ON x.digest = d.to_release->>'digest'
    WHERE d.rollout_id <> ${rolloutId}
      AND (d.state IN ('pending', 'parked', 'granted', 'running', 'unknown', 'needs-hands') OR (d.state = 'succeeded' AND d.ended_ms > ${ctx.nowMs - helloGraceMs}))
      AND EXISTS (SELECT 1 FROM json_each(x.manifest, '$.components') c WHERE c.value->>'$.config.driver' = 'agent' AND c.value->>'$.config.protocol.max' >= j.value->>1)
    ORDER BY r.created_ms DESC, r.id DESC`)
  return new Map(rows.map((row) => [row.site_id, { rolloutId: row.id, name: row.name, release: row.release }]))
}
