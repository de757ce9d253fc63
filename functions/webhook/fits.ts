import { isAtLeast } from '../../protocol/alarms.ts'
import { eventPrefix, type FleetEvent } from '../../protocol/events.ts'
import type { WebhookFilter } from '../../protocol/http/webhooks.ts'
import { parseSelector, selects, type Labels } from '../../protocol/labels.ts'
import type { Severity } from '../../protocol/states.ts'

/**
 * An event, with what a filter asks of it. `worst` is null for what is no alarm. `releases` are those it has to do with: of an alarm what its site runs, and for
 * anything but its beginning also what the site ran before, so that its end is told after a rollback too. `about` is the alarm entity of the webhook whose failing it speaks of.
 */
export type Candidate = { event: FleetEvent; worst: Severity | null; site: { id: string; labels: Labels } | null; releases: readonly string[]; about: string | null }

/** Whether an endpoint with this filter is told. An alarm that was bad enough once is told of to its end, however mild it has become. */
export function fits(filter: WebhookFilter): (candidate: Candidate) => boolean {
  const { types, severity, labelSelector, release } = filter
  const selector = labelSelector === undefined ? null : parseSelector(labelSelector)
  return (candidate) => {
    const type = candidate.event.type.slice(eventPrefix.length)
    if (types !== undefined && !types.some((wanted) => (wanted.endsWith('.*') ? type.startsWith(wanted.slice(0, -1)) : type === wanted))) return false
    if (severity !== undefined && candidate.worst !== null && !isAtLeast(candidate.worst, severity)) return false
    if (selector !== null && (candidate.site === null || !selects(selector, candidate.site))) return false
    return release === undefined || candidate.releases.some((id) => id === release || id.startsWith(`${release}@`))
  }
}
