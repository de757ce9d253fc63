import { sql } from 'drizzle-orm'
import type { DeliveryRow, WebhookRow } from '../../db/schema/webhook.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { DeliveryView, WebhookView } from '../../protocol/http/webhooks.ts'
import type { DeliveryId, WebhookId } from '../../protocol/ids.ts'
import type { Ctx } from '../context.ts'
import { deriveKeyPair } from './secrets.ts'

/** Waiting messages that are counted; more than that is just many. */
const waitingMax = 1000
const pathShownMax = 5

/** A URL as it may be shown: many services have what lets one in in the path or the query. */
export function shortenUrl(text: string): string {
  const { protocol, host, pathname, search } = new URL(text)
  return `${protocol}//${host}${pathname.length > pathShownMax || search !== '' ? `${pathname.slice(0, pathShownMax)}…` : pathname}`
}

/** A webhook as the API shows it: none of its secrets, and not the whole of its URL. Reads a row for each message that waits, 1,000 at most. */
export async function viewWebhook(ctx: Ctx, row: WebhookRow): Promise<WebhookView> {
  const [counted] = await ctx.db.orm.all<{ n: number }>(sql`SELECT count(*) AS n FROM (SELECT 1 FROM delivery WHERE webhook_id = ${row.id} AND state = 'waiting' LIMIT ${waitingMax})`)
  const newest = Math.max(...row.secrets.map(({ version }) => version))
  return {
    id: row.id as WebhookId, name: row.name, filter: row.filter, perSecond: row.perSecond, url: row.urlShown, format: row.format, signing: row.signing,
    publicKey: row.signing === 'v1a' ? (await deriveKeyPair(ctx, row.id, newest)).publicKey : null,
    state: row.state, disabledReason: row.disabledReason, secrets: row.secrets.map(({ version, expiresMs }) => ({ version, expiresAt: atOrNull(expiresMs) })),
    waiting: counted!.n, failingSince: atOrNull(row.failingSinceMs), createdBy: row.createdBy, createdAt: at(row.createdMs), version: row.version,
  }
}

/** What of a message is shown in a list. */
export type DeliveryFacts = Pick<DeliveryRow, 'id' | 'webhookId' | 'state' | 'types' | 'subject' | 'eventCount' | 'createdMs' | 'dueMs' | 'attempts' | 'replayOf'>

export const viewDelivery = (row: DeliveryFacts): DeliveryView => ({
  id: row.id as DeliveryId, webhook: row.webhookId as WebhookId, state: row.state, types: row.types, subject: row.subject, events: row.eventCount,
  createdAt: at(row.createdMs), nextAt: row.state === 'waiting' ? at(row.dueMs) : null, attempts: row.attempts, replayOf: row.replayOf as DeliveryId | null,
})
