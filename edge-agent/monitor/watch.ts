import { mergeMonitoring, monitoringDefaults, type MonitoringSettings, type SiteCheck } from '../../protocol/monitoring.ts'

type Section<K extends keyof MonitoringSettings> = Required<NonNullable<MonitoringSettings[K]>>
type Interfaces = NonNullable<MonitoringSettings['interfaces']>

/** What a site watches, with every level said: its settings over the defaults. */
export type Watch = { [K in Exclude<keyof MonitoringSettings, 'everyS' | 'checks' | 'interfaces'>]-?: Section<K> } & {
  everyS: number
  checks: SiteCheck[]
  interfaces: Required<Omit<Interfaces, 'watch'>> & Pick<Interfaces, 'watch'>
}

export const watchOf = (settings: MonitoringSettings | null): Watch => mergeMonitoring(monitoringDefaults as unknown as MonitoringSettings, settings ?? {}) as Watch
