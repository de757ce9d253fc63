import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import { controllerProtocols, standingOf } from '../../protocol/protocol-versions.ts'
import type { Severity } from '../../protocol/states.ts'
import type { Folded } from './fold.ts'

/** What the controller makes of a site by what it says of itself: whether each of these conditions holds. `seq` is that of the report it was told by. */
export type SiteVerdict = { site: string; incarnation: number; seq: number; alarmId: string; holds: { severity: Severity; text: string } | null }

const hourMs = 3_600_000
/** Told in steps, so that a clock that drifts on is no news with each report. */
const steps = [{ ms: 365 * 24 * hourMs, text: 'a year' }, { ms: 24 * hourMs, text: 'a day' }, { ms: hourMs, text: 'an hour' }, { ms: limits.agentClockSkewMs, text: '5 minutes' }]

/** How far a site's clock is off, or null where it is right. */
function judgeClock(sentAtMs: number, nowMs: number): SiteVerdict['holds'] {
  const offMs = sentAtMs - nowMs
  const step = steps.find(({ ms }) => Math.abs(offMs) > ms)
  return step === undefined ? null : { severity: Math.abs(offMs) > hourMs ? 'major' : 'minor', text: `its clock is more than ${step.text} ${offMs > 0 ? 'ahead of' : 'behind'} the controller's` }
}

/** Why nothing can be told to an agent, or null. */
function judgeProtocol(protocol: { min: number; max: number }): SiteVerdict['holds'] {
  const standing = standingOf(protocol, controllerProtocols)
  if (standing === 'ok') return null
  const text = `its agent speaks protocol ${protocol.min} to ${protocol.max}, this controller ${controllerProtocols.min} to ${controllerProtocols.max}: the ${standing === 'too-old' ? 'agent' : 'controller'} is too old`
  return { severity: 'major', text }
}

/**
 * Clock and protocol of the sites that reported. A hello is never kept back, so its time is that of its sending; a block of metrics may have been under way for long, so
 * that one from the past says nothing about the clock.
 */
export function judgeSites({ hellos, greetings, metrics }: Pick<Folded, 'hellos' | 'greetings' | 'metrics'>, nowMs: number): SiteVerdict[] {
  const stampOf = ({ site, incarnation, seq }: { site: string; incarnation: number; seq: number }) => ({ site, incarnation, seq })
  const protocols = [...hellos, ...greetings].map((each): SiteVerdict => ({ ...stampOf(each), alarmId: alarmIds.agentTooOld, holds: judgeProtocol(each.body.protocol) }))
  const clocks = new Map<string, SiteVerdict>()
  for (const each of [...hellos, ...metrics.filter(({ sentAtMs }) => sentAtMs > nowMs - limits.agentClockSkewMs)]) {
    const known = clocks.get(each.site)
    if (known !== undefined && (known.incarnation > each.incarnation || (known.incarnation === each.incarnation && known.seq > each.seq))) continue
    clocks.set(each.site, { ...stampOf(each), alarmId: alarmIds.clockSkew, holds: judgeClock(each.sentAtMs, nowMs) })
  }
  return [...protocols, ...clocks.values()]
}
