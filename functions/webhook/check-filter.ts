import { FleetError } from '../../protocol/errors.ts'
import { eventTypes } from '../../protocol/events.ts'
import type { WebhookFilter } from '../../protocol/http/webhooks.ts'
import { ReleaseId, ReleaseName } from '../../protocol/ids.ts'
import { parseSelector } from '../../protocol/labels.ts'

/** Refuses a filter that nothing could ever fit, with everything that is wrong with it. */
export function checkFilter(filter: WebhookFilter): void {
  const errors: { path: string; message: string }[] = []
  for (const [i, type] of (filter.types ?? []).entries()) {
    if (type.endsWith('.*') && !eventTypes.some((each) => each.startsWith(type.slice(0, -1)))) errors.push({ path: `filter.types.${i}`, message: `no event type begins with ${type.slice(0, -1)}` })
  }
  if (filter.release !== undefined && !ReleaseName.safeParse(filter.release).success && !ReleaseId.safeParse(filter.release).success) errors.push({ path: 'filter.release', message: 'must be a release such as shop@1.5.0, or its name' })
  if (filter.labelSelector !== undefined) {
    try {
      parseSelector(filter.labelSelector)
    } catch (error) {
      errors.push({ path: 'filter.labelSelector', message: (error as SyntaxError).message })
    }
  }
  if (errors.length > 0) throw new FleetError('bad-request', `the filter is not valid: ${errors.map((each) => each.message).join('; ')}`, { errors })
}
