import type { RolloutPlan } from '../../protocol/http/rollouts.ts'
import { bytesText, plain, plural, spanText, timeText } from '../output/words.ts'

const namesMax = 5

const some = (names: readonly string[]): string => (names.length <= namesMax ? names.join(', ') : `${names.slice(0, namesMax).join(', ')} and ${names.length - namesMax} more`)

/** Groups what is said of sites: the same words for a hundred sites are one line. */
function groupedLines(items: readonly { site: string; why: string }[]): string[] {
  const groups = new Map<string, string[]>()
  for (const { site, why } of items) groups.set(why, [...(groups.get(why) ?? []), site])
  return [...groups].map(([why, sites]) => `  ${sites.length === 1 ? '' : `${sites.length} sites: `}${some(sites)}: ${why}`)
}

/** A plan as a person reads it: what would happen, to whom, and what would not. */
export function planText(plan: RolloutPlan): string {
  const { waves, groups, skipped, blocked, agentsFirst, cannotBeUndone, bytes, expected, warnings } = plan
  const waveLine = (wave: RolloutPlan['waves'][number]): string => {
    const gate = [`${Math.round(wave.successThreshold * 100)}% must succeed`, wave.barrier ? 'all must have ended' : '', wave.soakMs > 0 ? `soaks ${spanText(wave.soakMs)}` : '', wave.approval ? 'a person approves' : ''].filter((part) => part !== '')
    return `  ${wave.name}: ${plural(wave.sites.length, 'site')} (${some(wave.sites)}); ${gate.join(', ')}`
  }
  const blockedLines = groupedLines(blocked.map(({ site, blockers }) => ({ site, why: blockers.map((blocker) => `${blocker.text}${blocker.endsAt === null ? '' : ` until ${timeText(blocker.endsAt)}`}`).join('; ') })))
  return `${[
    `${plan.name}: ${plan.target} to ${plural(plan.members, 'site')}, at most ${plan.maxParallel} at once`,
    ...agentsFirst.map((first) => `  before it, "${first.name}": ${first.release} to ${plural(first.sites.length, 'site')} (${some(first.sites)}), which brings the agent it needs`),
    ...waves.map(waveLine),
    ...(groups.length === 0 ? [] : ['at most, in each group:', ...groups.map((group) => `  ${group.group || '(no label)'}: ${group.maxParallel} of ${plural(group.members, 'site')}`)]),
    ...(skipped.length === 0 ? [] : [`skipped (${skipped.length}):`, ...groupedLines(skipped)]),
    ...(blocked.length === 0 ? [] : [`would not start now (${blocked.length}):`, ...blockedLines]),
    ...(cannotBeUndone.length === 0 ? [] : ['cannot be undone:', ...cannotBeUndone.map((item) => `  ${item.release}: ${item.components.join(', ')}, at ${plural(item.sites, 'site')}`)]),
    `bytes: at most ${bytesText(bytes.perSiteMax)} a site, ${bytesText(bytes.total)} in all`,
    `expected end: ${timeText(expected.endsAt)}, at ${spanText(expected.perSiteMs)} a site (${expected.basis})`,
    ...warnings.map((warning) => `warning: ${warning}`),
  ].map(plain).join('\n')}\n`
}
