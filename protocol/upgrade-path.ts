import { splitReleaseId, type ReleaseId } from './ids.ts'
import type { Manifest } from './manifest.ts'
import { ok, refuse, type Result } from './result.ts'
import { compareVersions, inRange } from './version.ts'

export type PathRefusal =
  | { reason: 'needs-base'; detail: string }
  | { reason: 'other-product'; detail: string }
  | { reason: 'downgrade'; detail: string }
  | { reason: 'not-from-here'; detail: string }
  | { reason: 'requires-unmet'; detail: string }

type Upgrade = Pick<Manifest, 'kind' | 'name' | 'version' | 'requires' | 'replaces' | 'skips'>

function admits(predecessor: string, running: { name: string; version: string }, product: string): boolean {
  const at = predecessor.indexOf('@')
  const name = at < 0 ? product : predecessor.slice(0, at)
  return name === running.name && inRange(running.version, predecessor.slice(at + 1))
}

/**
 * Whether a site that runs `running` (null: nothing yet) may go straight to `target`. Checked by the controller before
 * anything moves and by the agent again. Going *back* is never a path: it is only allowed through a site's own
 * verified history (SPEC I4).
 */
export function checkUpgradePath(running: ReleaseId | null, target: Upgrade): Result<null, PathRefusal> {
  const to = `${target.name}@${target.version}`
  if (running === null) {
    if (target.kind === 'patch') return refuse({ reason: 'needs-base', detail: `${to} is a patch, and nothing runs yet that it could replace` })
    return ok(null)
  }
  const from = splitReleaseId(running)
  const named = [...(target.replaces ?? []), ...(target.skips ?? [])]
  const admitted = named.some((predecessor) => admits(predecessor, from, target.name))
  if (from.name !== target.name && !admitted) return refuse({ reason: 'other-product', detail: `${running} is another product, which ${to} does not replace` })
  if (from.name === target.name && compareVersions(from.version, target.version) > 0) return refuse({ reason: 'downgrade', detail: `${running} is newer than ${to}; to go back, roll back the rollout that brought it` })
  if (from.name === target.name && target.requires !== undefined && !inRange(from.version, target.requires)) return refuse({ reason: 'requires-unmet', detail: `${to} requires ${target.requires}, but ${running} runs` })
  if (target.replaces !== undefined && !admitted) return refuse({ reason: 'not-from-here', detail: `${to} can be reached from ${named.join(', ')}, not from ${running}` })
  return ok(null)
}
