import { manifestReleaseId, type Manifest } from '../../protocol/manifest.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import { checkUpgradePath } from '../../protocol/upgrade-path.ts'

export type SiteFacts = { running: ReleaseRef | null; history: readonly ReleaseRef[]; architecture: string; protocolMax: number }

/**
 * Whether a release whose signature is right may come to this site: R2 and R3 of SPEC §5. `back` is only ever a way to a
 * release of the site's own history (I4). The release that runs already is always allowed. Pure.
 */
export function judgeRelease(manifest: Manifest, wanted: { release: ReleaseRef; back: boolean }, site: SiteFacts): Result<null, { reason: string; detail: string }> {
  const id = manifestReleaseId(manifest)
  if (id !== wanted.release.id) return refuse({ reason: 'other-release', detail: `the manifest is ${id}, not ${wanted.release.id}` })
  if (manifest.protocolMin > site.protocolMax) return refuse({ reason: 'protocol', detail: `it needs protocol ${manifest.protocolMin}; this agent speaks ${site.protocolMax}` })
  if (manifest.architectures !== undefined && !manifest.architectures.includes(site.architecture)) {
    return refuse({ reason: 'architecture', detail: `it is for ${manifest.architectures.join(', ')}; this site is ${site.architecture}` })
  }
  if (site.running?.digest === wanted.release.digest) return ok(null)
  if (!wanted.back) return checkUpgradePath(site.running?.id ?? null, manifest)
  if (site.history.some((release) => release.digest === wanted.release.digest)) return ok(null)
  return refuse({ reason: 'not-in-history', detail: `${id} was never committed at this site` })
}
