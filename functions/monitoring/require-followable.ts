import { FleetError } from '../../protocol/errors.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import { judgeMonitoring } from './judge.ts'

/** Throws `bad-request` with all that keeps settings from being followed; `place` is where the request has them, '' for its whole body. */
export function requireFollowable(settings: MonitoringSettings, place: string): void {
  const errors = judgeMonitoring(settings).map(({ path, message }) => ({ path: place === '' ? path : `${place}.${path}`, message }))
  if (errors.length > 0) throw new FleetError('bad-request', errors.map((e) => `${e.path}: ${e.message}`).slice(0, 5).join('; '), { errors })
}
