import { and, eq, inArray, isNull } from 'drizzle-orm'
import { release } from '../../db/schema/release.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { agentContracts } from '../../protocol/http/agent.ts'
import { at, type ResponseOf } from '../../protocol/http/contract.ts'
import type { releaseContracts } from '../../protocol/http/releases.ts'
import type { Digest } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import type { Ctx } from '../context.ts'
import { loadRelease } from './load.ts'

/** What may be fetched: a withdrawn release too, for the sites that run it and those that go back to it. */
const fetchableStates = ['available', 'withdrawn'] as const

/** The manifest of a release in any state, with a URL for its delivery index. */
export async function getManifest(ctx: Ctx, id: string): Promise<ResponseOf<typeof releaseContracts.getManifest>> {
  const { envelope, manifest, indexDigest } = await loadRelease(ctx, id)
  const { expiresAtMs, ...request } = await ctx.store.signGet(storeKeys.object(indexDigest), limits.urlLifeMs)
  return { envelope, manifest, index: { ...request, expiresAt: at(expiresAtMs) } }
}

/** What an agent needs to take a release whose digest a directive named. Throws `not-found`. */
export async function getAgentManifest(ctx: Ctx, digest: string): Promise<ResponseOf<typeof agentContracts.getAgentManifest>> {
  const [row] = await ctx.db.orm.select().from(release).where(and(eq(release.digest, digest), inArray(release.state, fetchableStates), isNull(release.collectedMs)))
  if (row === undefined) throw new FleetError('not-found', `there is no release with the digest ${digest} to fetch`)
  return { envelope: row.envelope, index: row.indexDigest as Digest, indexBytes: row.indexBytes }
}
