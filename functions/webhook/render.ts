import type { FleetEvent } from '../../protocol/events.ts'
import type { WebhookFormat } from '../../protocol/http/webhooks.ts'
import { assertNever } from '../../protocol/result.ts'
import { renderAlertmanager } from './render-alertmanager.ts'
import { renderPagerDuty } from './render-pagerduty.ts'
import { renderSlack } from './render-slack.ts'
import { renderStandard } from './render-standard.ts'
import { renderTeams } from './render-teams.ts'
import type { Target } from './secrets.ts'

/** Whom a message is for. */
export type Addressee = { format: WebhookFormat; target: Target; fleet: string }
/** One message: its events, oldest first, at least one and at most `groupsOf` its format. `createdMs` is when it was made. */
export type Message = { id: string; events: readonly FleetEvent[]; createdMs: number }
/** One POST; signatures are not in it yet. */
export type Rendered = { url: string; headers: Record<string, string>; body: string }

const eventsMax: Record<WebhookFormat, number> = { standard: 64, slack: 10, teams: 10, pagerduty: 1, alertmanager: 32 }

/** Most events that one message of this format carries. */
export const groupsOf = (format: WebhookFormat): number => eventsMax[format]

/** A message in the words of whoever reads it, bounded and inert there. */
export function renderMessage(to: Addressee, message: Message): Rendered {
  const { url = to.target.url, body } = partsOf(to, message)
  return { url, headers: { 'content-type': 'application/json' }, body }
}

function partsOf(to: Addressee, message: Message): { url?: string; body: string } {
  switch (to.format) {
    case 'standard':
      return { body: renderStandard(to, message) }
    case 'slack':
      return { body: renderSlack(to, message) }
    case 'teams':
      return { body: renderTeams(to, message) }
    case 'pagerduty':
      return renderPagerDuty(to, message)
    case 'alertmanager':
      return renderAlertmanager(to, message)
    default:
      return assertNever(to.format)
  }
}
