import * as z from 'zod'
import { eventTypes } from '../events.ts'
import { DeliveryId, WebhookId } from '../ids.ts'
import { limits } from '../limits.ts'
import { severities } from '../states.ts'
import { Span } from '../time.ts'
import { At, PageQuery, contract, page } from './contract.ts'

export const webhookFormats = ['standard', 'slack', 'teams', 'pagerduty', 'alertmanager'] as const
export type WebhookFormat = (typeof webhookFormats)[number]

/** What a subscription wants: all that is said must fit. Absent means whatever. */
export const WebhookFilter = z.strictObject({
  /** Event types, or the part of one before its dot with a star: `alarm.*`. */
  types: z.array(z.union([z.enum(eventTypes), z.string().regex(/^[a-z]+\.\*$/)])).min(1).max(64).optional(),
  /** Alarms that are at least as bad; other events are not held against it. */
  severity: z.enum(severities).optional(),
  /** Sites by their labels; events without a site do not fit. */
  labelSelector: z.string().max(2000).optional(),
  /** Events of rollouts to this release (`name` or `name@version`), and of alarms at sites that run it. */
  release: z.string().max(200).optional(),
})
export type WebhookFilter = z.infer<typeof WebhookFilter>

const WebhookUrl = z.string().min(1).max(limits.webhookUrlMax)
const decided = {
  name: z.string().min(1).max(100),
  filter: WebhookFilter.default({}),
  /** At most so many messages a second. */
  perSecond: z.number().min(0.1).max(100).default(20),
}

/** `url` without what may be secret in it: its path is shortened, user and query are gone. */
export const WebhookView = z.object({
  id: WebhookId, ...decided, url: z.string(), format: z.enum(webhookFormats), signing: z.enum(['v1', 'v1a']), publicKey: z.string().nullable(),
  state: z.enum(['enabled', 'disabled']), disabledReason: z.string().nullable(),
  secrets: z.array(z.object({ version: z.int(), expiresAt: At.nullable() })),
  /** Messages that wait, and since when all attempts have failed. */
  waiting: z.int(), failingSince: At.nullable(), createdBy: z.string(), createdAt: At, version: z.int(),
})
export type WebhookView = z.infer<typeof WebhookView>

/** One attempt: what was sent, what came back (at most 1 KiB of it is kept) and how long it took. */
export const DeliveryAttempt = z.object({ at: At, durationMs: z.int(), address: z.string().nullable(), status: z.int().nullable(), error: z.string().nullable(), requestHeaders: z.record(z.string(), z.string()), responseHeaders: z.record(z.string(), z.string()), responseBody: z.string() })
export type DeliveryAttempt = z.infer<typeof DeliveryAttempt>
export const deliveryStates = ['waiting', 'delivered', 'dead', 'dropped'] as const
export const DeliveryView = z.object({
  id: DeliveryId, webhook: WebhookId, state: z.enum(deliveryStates), types: z.array(z.string()), subject: z.string(), events: z.int(),
  createdAt: At, nextAt: At.nullable(), attempts: z.int(), replayOf: DeliveryId.nullable(),
})
export type DeliveryView = z.infer<typeof DeliveryView>

const WebhookParams = z.strictObject({ webhook: WebhookId })
const Secret = z.object({ webhook: WebhookView, secret: z.string().nullable() })

export const webhookContracts = {
  createWebhook: contract({
    id: 'createWebhook', tag: 'Webhooks', method: 'post', path: '/v1/webhooks', access: 'admin', summary: 'Subscribe an endpoint; the secret that signs is shown once', idempotencyKey: false,
    body: z.strictObject({ ...decided, url: WebhookUrl, format: z.enum(webhookFormats).default('standard'), signing: z.enum(['v1', 'v1a']).default('v1'),
      /** PagerDuty's integration key; for that format only. */
      routingKey: z.string().min(1).max(200).optional() }),
    response: Secret, status: 201,
  }),
  listWebhooks: contract({ id: 'listWebhooks', tag: 'Webhooks', method: 'get', path: '/v1/webhooks', access: 'operator', summary: 'List webhooks', query: z.strictObject(PageQuery), response: page(WebhookView) }),
  getWebhook: contract({ id: 'getWebhook', tag: 'Webhooks', method: 'get', path: '/v1/webhooks/{webhook}', access: 'operator', summary: 'Show a webhook', params: WebhookParams, response: WebhookView, etag: true }),
  updateWebhook: contract({
    id: 'updateWebhook', tag: 'Webhooks', method: 'patch', path: '/v1/webhooks/{webhook}', access: 'admin', summary: 'Change a webhook, or enable one that was disabled', params: WebhookParams,
    body: z.strictObject({ name: decided.name.optional(), filter: WebhookFilter.optional(), perSecond: z.number().min(0.1).max(100).optional(), url: WebhookUrl.optional(), state: z.enum(['enabled', 'disabled']).optional() }), response: WebhookView, etag: true,
  }),
  removeWebhook: contract({ id: 'removeWebhook', tag: 'Webhooks', method: 'delete', path: '/v1/webhooks/{webhook}', access: 'admin', summary: 'Remove a webhook and all that waits for it', params: WebhookParams, response: z.null(), status: 204, etag: true }),
  rotateWebhook: contract({
    id: 'rotateWebhook', tag: 'Webhooks', method: 'post', path: '/v1/webhooks/{webhook}/rotate', access: 'admin', summary: 'Make a new secret, shown once; messages are signed with both until the old one ends', idempotencyKey: false, params: WebhookParams,
    body: z.strictObject({ keepOldFor: Span.pipe(z.int().min(0).max(30 * 86_400_000)).default(86_400_000) }), response: Secret, status: 201,
  }),
  testWebhook: contract({ id: 'testWebhook', tag: 'Webhooks', method: 'post', path: '/v1/webhooks/{webhook}/test', access: 'operator', summary: 'Send a test event now, once, and say what came back', idempotencyKey: false, params: WebhookParams, body: z.strictObject({ message: z.string().max(200).default('a test') }), response: DeliveryAttempt }),
  listDeliveries: contract({
    id: 'listDeliveries', tag: 'Webhooks', method: 'get', path: '/v1/webhooks/{webhook}/deliveries', access: 'operator', summary: 'Its messages, newest first', params: WebhookParams,
    query: z.strictObject({ ...PageQuery, state: z.enum(deliveryStates).optional() }), response: page(DeliveryView),
  }),
  getDelivery: contract({ id: 'getDelivery', tag: 'Webhooks', method: 'get', path: '/v1/webhooks/{webhook}/deliveries/{delivery}', access: 'operator', summary: 'One message: its body, and its last attempts', params: z.strictObject({ webhook: WebhookId, delivery: DeliveryId }), response: DeliveryView.extend({ body: z.string(), log: z.array(DeliveryAttempt) }) }),
  replayDeliveries: contract({
    id: 'replayDeliveries', tag: 'Webhooks', method: 'post', path: '/v1/webhooks/{webhook}/replay', access: 'operator', summary: 'Send one message again, or all of a time range that were not delivered (or all)', params: WebhookParams,
    body: z.union([z.strictObject({ delivery: DeliveryId }), z.strictObject({ from: At, to: At, which: z.enum(['undelivered', 'all']).default('undelivered') })]), 
    /** `next` is null when all were taken, else where to go on: as `from`. */
    response: z.object({ replayed: z.int(), next: At.nullable() }), status: 202,
  }),
} as const
