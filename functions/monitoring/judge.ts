import { utf8 } from '../../protocol/bytes.ts'
import { issuesOf } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { mergeMonitoring, MonitoringSettings, monitoringDefaults, monitoringText } from '../../protocol/monitoring.ts'

export type Fault = { path: string; message: string }

/** The more that is measured, the worse; of the days that a certificate has left, the fewer. */
const fewerIsWorse: readonly string[] = ['certificates']

/** What keeps settings, said over the defaults, from being followed, all at once: their form, their size, levels in a wrong order, and alarms that could never be raised. */
export function judgeMonitoring(settings: MonitoringSettings): Fault[] {
  const parsed = MonitoringSettings.safeParse(settings)
  if (!parsed.success) return issuesOf(parsed.error)
  const sizeBytes = utf8(monitoringText(settings)).length
  const size = sizeBytes <= limits.monitoringBytesMax ? [] : [{ path: '(settings)', message: `come to ${sizeBytes} bytes; at most ${limits.monitoringBytesMax} are sent to a site` }]
  return [...size, ...Object.entries(mergeMonitoring(monitoringDefaults, settings)).flatMap(([name, part]) => (typeof part === 'object' && !Array.isArray(part) ? judgePart(name, part) : []))]
}

function judgePart(name: string, part: object): Fault[] {
  const said = part as { minor?: number | null; major?: number | null; critical?: number | null; raiseAfter?: number; outOf?: number }
  const faults: Fault[] = []
  if (said.raiseAfter !== undefined && said.outOf !== undefined && said.raiseAfter > said.outOf) faults.push({ path: `${name}.raiseAfter`, message: `is ${said.raiseAfter}, and only ${said.outOf} samples are looked at (outOf): it could never be raised` })
  const levels = (['minor', 'major', 'critical'] as const).flatMap((severity) => (typeof said[severity] === 'number' ? [{ severity, level: said[severity] }] : []))
  for (const [i, { severity, level }] of levels.entries()) {
    const milder = levels[i - 1]
    if (milder === undefined || (fewerIsWorse.includes(name) ? level <= milder.level : level >= milder.level)) continue
    faults.push({ path: `${name}.${severity}`, message: `begins at ${level}, before ${milder.severity} does at ${milder.level}` })
  }
  return faults
}
