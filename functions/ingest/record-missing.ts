import type { Statement } from '../../db/client.ts'
import { limits } from '../../protocol/limits.ts'
import type { Folded } from './fold.ts'

/**
 * Sites that ended an attempt because the store lacks an object: said on the release, so that its publisher may put it back.
 * It goes before the deployment is moved, and so says each only once, whatever is repeated. Costs nothing where nobody misses anything.
 */
export function missingStatements(attempts: Folded['attempts']): Statement[] {
  const missing = attempts.filter(({ attempt }) => attempt.phase === 'ended' && attempt.fault?.code === 'object-missing')
  if (missing.length === 0) return []
  const detail = (site: string, fault: string): string => `site ${site} could not fetch all of it, publish it again: ${fault}`.slice(0, limits.reasonLengthMax)
  const rows = JSON.stringify(missing.map(({ rolloutId, site, attempt }) => [rolloutId, site, attempt.attempt, detail(site, attempt.fault!.detail)]))
  return [
    {
      sql: `UPDATE release SET detail = j.value->>3, version = version + 1 FROM json_each(?) AS j JOIN deployment d ON d.rollout_id = j.value->>0 AND d.site_id = j.value->>1 AND d.attempt = j.value->>2
            WHERE d.state IN ('granted', 'running') AND release.digest = d.to_release->>'digest' AND release.state = 'available' AND release.detail = ''`,
      args: [rows],
    },
  ]
}
