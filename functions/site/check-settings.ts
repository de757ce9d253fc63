import { FleetError } from '../../protocol/errors.ts'
import type { SiteSettings } from '../../protocol/http/sites.ts'
import { cronFault } from '../rollout/schedule.ts'

/** Throws `bad-request` with every cron pattern that a schema cannot judge: malformed ones, and those that never match. */
export function checkSettings(settings: Partial<Pick<SiteSettings, 'windows'>>): void {
  const errors = (settings.windows ?? []).flatMap((window, i) => {
    const message = cronFault(window.cron)
    return message === null ? [] : [{ path: `windows.${i}.cron`, message }]
  })
  if (errors.length > 0) throw new FleetError('bad-request', errors.map((e) => `${e.path}: ${e.message}`).slice(0, 5).join('; '), { errors })
}
