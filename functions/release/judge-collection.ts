import type { ReleaseState } from '../../protocol/states.ts'
import { formatSpan } from '../../protocol/time.ts'

/** `uses`: how sites and rollouts hold the release, how many of them, and one by name. */
export type Candidate = {
  state: ReleaseState; createdMs: number; touchedMs: number | null; availableMs: number | null; isNewest: boolean; lastRolloutMs: number | null
  uses: readonly { how: string; n: number; example: string }[]
}
export type CollectionTerms = { nowMs: number; unusedForMs: number | null; unheardSites: number }

/** A publisher that was refused, or was interrupted, may come back and go on. */
const rejectedForMs = 86_400_000
const abandonedForMs = 7 * 86_400_000

/** Whether the objects of a release may go, and why or why not. Pure. */
export function judgeCollection(release: Candidate, terms: CollectionTerms): { collect: boolean; why: string } {
  const { state, uses } = release
  const stays = (why: string) => ({ collect: false, why })
  const touchedMs = release.touchedMs ?? release.createdMs
  const idleMs = terms.nowMs - touchedMs
  if (terms.unheardSites > 0) return stays(`${terms.unheardSites} sites have not said what they run since the database came back from a backup, or run what only the object store remembers (murmur restore releases)`)
  if (uses.length > 0) return stays(uses.map(({ how, n, example }) => `${how} ${example}${n > 1 ? ` and ${n - 1} more` : ''}`).join('; '))
  switch (state) {
    case 'checking': return stays('its objects are being confirmed')
    case 'withdrawn': return { collect: true, why: 'it was withdrawn, and no site runs it or could go back to it' }
    case 'rejected': return idleMs < rejectedForMs ? stays('its publisher may still bring what is missing') : { collect: true, why: 'it was rejected, and its publisher did not come back' }
    case 'uploading': return idleMs < abandonedForMs ? stays('its publisher may still go on') : { collect: true, why: `nobody has gone on with it for ${formatSpan(abandonedForMs)}` }
    case 'available': return judgeAvailable(release, terms)
  }
}

function judgeAvailable(release: Candidate, { nowMs, unusedForMs }: CollectionTerms): { collect: boolean; why: string } {
  if (unusedForMs === null) return { collect: false, why: 'it is available' }
  if (release.isNewest) return { collect: false, why: 'it is the newest of its name' }
  const lastMs = Math.max(release.availableMs ?? release.createdMs, release.lastRolloutMs ?? 0)
  if (nowMs - lastMs < unusedForMs) return { collect: false, why: `something was done with it within ${formatSpan(unusedForMs)}` }
  return { collect: true, why: `nothing was done with it for ${formatSpan(unusedForMs)}, and no site runs it or could go back to it` }
}
