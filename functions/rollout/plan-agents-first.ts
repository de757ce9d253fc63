import { sql } from 'drizzle-orm'
import type { ReleaseRef } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { checkUpgradePath } from '../../protocol/upgrade-path.ts'
import { compareVersions } from '../../protocol/version.ts'
import type { Ctx } from '../context.ts'
import { fitness } from './judge.ts'
import type { SiteFacts, TargetFacts } from './snapshot.ts'

/**
 * For each site whose agent is too old for a release: the newest release of the same product that the site can take now, that brings an
 * agent new enough, and from which the release can be reached. Sites without one are not in the answer. Reads at most
 * `steppingReleasesMax` releases, and none where every agent is new enough.
 */
export async function planAgentsFirst(ctx: Ctx, target: TargetFacts, sites: readonly SiteFacts[]): Promise<Map<string, TargetFacts>> {
  if (sites.length === 0) return new Map()
  const { name, protocolMin } = target.manifest
  const rows = await ctx.db.orm.all<{ id: string; digest: string; manifest: string }>(sql`
    SELECT id, digest, manifest FROM release WHERE name = ${name} AND state = 'available' AND digest <> ${target.ref.digest}
      AND EXISTS (SELECT 1 FROM json_each(release.manifest, '$.components') c WHERE c.value->>'$.config.driver' = 'agent' AND c.value->>'$.config.protocol.max' >= ${protocolMin})
    ORDER BY created_ms DESC LIMIT ${limits.steppingReleasesMax}`)
  const releases = rows
    .map((row): TargetFacts => ({ ref: { id: row.id, digest: row.digest } as ReleaseRef, manifest: JSON.parse(row.manifest) as Manifest, available: true }))
    .sort((a, b) => compareVersions(b.manifest.version, a.manifest.version))
  return new Map(sites.flatMap((site) => {
    const step = releases.find((release) => isStep(site, release, target.manifest))
    return step === undefined ? [] : [[site.id, step] as const]
  }))
}

/** Whether a site gets to a release by way of another. */
const isStep = (site: SiteFacts, step: TargetFacts, target: Manifest): boolean => fitness(site, step.ref, step, null) === null && checkUpgradePath(step.ref.id, target).ok
