import { selects, type Labels, type Selector } from '../../protocol/labels.ts'
import { mergeMonitoring, type MonitoringSettings } from '../../protocol/monitoring.ts'
import { judgeMonitoring, type Fault } from './judge.ts'

export type Rule = { name: string; priority: number; selector: Selector; settings: MonitoringSettings }
/** `rules` by name, the lowest in rank first; `settings` is what they and the site's own come to. With `faults` nobody can follow that. */
export type Monitoring = { rules: string[]; settings: MonitoringSettings; faults: Fault[] }

/** What a site is to watch: the rules that fit it, by priority and then by name, and over them its own settings. Pure. */
export function decideMonitoring(rules: readonly Rule[], site: { id: string; labels: Labels; own: MonitoringSettings }): Monitoring {
  const fitting = rules.filter((rule) => selects(rule.selector, site)).sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1))
  const settings = mergeMonitoring(...fitting.map((rule) => rule.settings), site.own)
  return { rules: fitting.map(({ name }) => name), settings, faults: judgeMonitoring(settings) }
}
