import type { z } from 'zod'
import type { DeliveryAttempt, DeliveryView, WebhookFilter, WebhookView, webhookContracts } from '../../protocol/http/webhooks.ts'
import { factsText } from '../output/facts.ts'
import type { Tint } from '../output/paint.ts'
import type { Shape } from '../output/print.ts'
import { agoText, plain, spanText, timeText } from '../output/words.ts'

type DeliveryDetail = z.infer<typeof webhookContracts.getDelivery.response>

/** What a webhook is told, in one line. */
function filterText({ types, severity, labelSelector, release }: WebhookFilter): string {
  const parts = [types === undefined ? 'everything' : types.join(', '), severity === undefined ? '' : `alarms from ${severity} on`, labelSelector === undefined ? '' : `of sites ${labelSelector}`, release === undefined ? '' : `about ${release}`]
  return parts.filter((part) => part !== '').join('; ')
}

const stateTint = (webhook: WebhookView): Tint | null => (webhook.state === 'disabled' ? 'red' : webhook.failingSince === null ? null : 'yellow')

export const webhookShape = (nowMs: number): Shape<WebhookView> => ({
  nameOf: (webhook) => webhook.id,
  none: 'no webhooks',
  columns: [
    { title: 'WEBHOOK', value: (webhook) => webhook.id },
    { title: 'NAME', value: (webhook) => webhook.name },
    { title: 'FORMAT', value: (webhook) => webhook.format },
    { title: 'STATE', value: (webhook) => webhook.state, tint: stateTint },
    { title: 'WAITING', value: (webhook) => String(webhook.waiting), align: 'right' },
    { title: 'FAILING FOR', value: (webhook) => agoText(webhook.failingSince, nowMs) },
    { title: 'URL', value: (webhook) => webhook.url },
    { title: 'TOLD', value: (webhook) => filterText(webhook.filter), wide: true },
    { title: 'BY', value: (webhook) => webhook.createdBy, wide: true },
  ],
  text: (webhook) => describeWebhook(webhook, nowMs),
})

function describeWebhook(webhook: WebhookView, nowMs: number): string {
  const secrets = webhook.secrets.map(({ version, expiresAt }) => `${version}${expiresAt === null ? '' : ` (until ${timeText(expiresAt)})`}`)
  return factsText([
    ['webhook', webhook.id], ['name', webhook.name], ['url', webhook.url], ['format', webhook.format],
    ['state', `${webhook.state}${webhook.disabledReason === null ? '' : `: ${webhook.disabledReason}`}`], ['told', filterText(webhook.filter)],
    ['waiting', `${webhook.waiting}, at most ${webhook.perSecond} a second${webhook.failingSince === null ? '' : `; all attempts have failed for ${agoText(webhook.failingSince, nowMs)}`}`],
    ['signed', `${webhook.signing}, secret ${secrets.join(' and ')}`], ...(webhook.publicKey === null ? [] : [['public key', webhook.publicKey] as const]), ['created', `${timeText(webhook.createdAt)} by ${webhook.createdBy}`],
  ])
}

const deliveryTints: Record<DeliveryView['state'], Tint | null> = { waiting: 'yellow', delivered: null, dead: 'red', dropped: 'dim' }

export const deliveryShape = (nowMs: number): Shape<DeliveryView> => ({
  nameOf: (delivery) => delivery.id,
  none: 'no deliveries',
  columns: [
    { title: 'DELIVERY', value: (delivery) => delivery.id },
    { title: 'STATE', value: (delivery) => delivery.state, tint: (delivery) => deliveryTints[delivery.state] },
    { title: 'ATTEMPTS', value: (delivery) => String(delivery.attempts), align: 'right' },
    { title: 'AGE', value: (delivery) => agoText(delivery.createdAt, nowMs) },
    { title: 'NEXT IN', value: (delivery) => (delivery.nextAt === null ? '-' : spanText(Date.parse(delivery.nextAt) - nowMs)) },
    { title: 'EVENTS', value: (delivery) => String(delivery.events), align: 'right' },
    { title: 'TYPES', value: (delivery) => delivery.types.join(', ') },
    { title: 'SUBJECT', value: (delivery) => delivery.subject },
    { title: 'REPLAY OF', value: (delivery) => delivery.replayOf ?? '-', wide: true },
  ],
})

/** `204 in 12ms from 203.0.113.7`, or why nothing came back. */
export const attemptText = ({ status, error, durationMs, address }: DeliveryAttempt): string =>
  `${status ?? 'no answer'} in ${durationMs}ms${address === null ? '' : ` from ${address}`}${error === null ? '' : `: ${error}`}`

function attemptLines(attempt: DeliveryAttempt): string[] {
  const headers = (of: Record<string, string>): string[] => Object.entries(of).map(([name, value]) => `    ${name}: ${value}`)
  return [`${timeText(attempt.at)}  ${attemptText(attempt)}`, '  sent with', ...headers(attempt.requestHeaders), ...(attempt.status === null ? [] : ['  answered with', ...headers(attempt.responseHeaders)]), ...(attempt.responseBody === '' ? [] : ['', ...attempt.responseBody.split('\n').map((line) => `    ${line}`)])]
}

/** One message with its body and its last attempts. What others wrote is shown as text that no terminal obeys. */
export function describeDelivery(delivery: DeliveryDetail, nowMs: number): string {
  const facts = factsText([
    ['delivery', delivery.id], ['state', `${delivery.state} after ${delivery.attempts} attempts`], ['about', `${delivery.subject} (${delivery.types.join(', ')})`], ['created', timeText(delivery.createdAt)],
    ...(delivery.nextAt === null ? [] : [['next', `in ${spanText(Date.parse(delivery.nextAt) - nowMs)}`] as const]), ...(delivery.replayOf === null ? [] : [['replay of', delivery.replayOf] as const]),
  ])
  return `${facts}\n${plain([delivery.body, ...delivery.log.flatMap((attempt) => ['', ...attemptLines(attempt)])].join('\n'))}\n`
}
