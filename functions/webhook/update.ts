import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { webhook } from '../../db/schema/webhook.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { WebhookView, webhookContracts } from '../../protocol/http/webhooks.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { checkFilter } from './check-filter.ts'
import { checkUrl } from './check-url.ts'
import { endOf } from './create.ts'
import { loadWebhook, webhookUnmoved } from './load.ts'
import { openTarget, sealTarget } from './secrets.ts'
import { shortenUrl, viewWebhook } from './view.ts'
import { clearEndpoints } from './watch-endpoints.ts'

/**
 * Changes what is given and leaves the rest. One that was disabled and is enabled again is told what happens from then on, and gets what still waits for it. Throws
 * `not-found`, `precondition-failed`, and `bad-request` as creating does.
 */
export async function updateWebhook(ctx: Ctx, id: string, input: BodyOf<typeof webhookContracts.updateWebhook> & { ifMatch: number | null }): Promise<WebhookView> {
  const { ifMatch, url, state, ...plain } = input
  if (plain.filter !== undefined) checkFilter(plain.filter)
  const row = await loadWebhook(ctx, id)
  checkIfMatch(ifMatch, row.version)
  if (Object.keys(input).length === 1) return viewWebhook(ctx, row)
  if (url !== undefined) await checkUrl(ctx, url)
  const target = url === undefined ? {} : { target: await sealTarget(ctx, id, { url, routingKey: row.format === 'pagerduty' ? (await openTarget(ctx, id, row.target)).routingKey : null }), urlShown: shortenUrl(url) }
  const moved = state !== undefined && state !== row.state
  const disabledReason = state === 'disabled' ? `by ${ctx.actor.name}` : null
  // whatever went wrong before was with another state of things
  const anew = moved ? { state, disabledReason, failures: 0, failingSinceMs: null, givenUpMs: null, holdUntilMs: 0 } : {}
  const next = { ...plain, ...target, ...anew, version: row.version + 1 }
  const cursors = moved && state === 'enabled' ? { alarmSeq: endOf('alarm_event'), auditSeq: endOf('audit') } : {}
  const event = { action: 'webhook.update', entity: `webhook/${id}`, why: `changed ${Object.keys({ ...plain, ...target, ...(moved ? { state } : {}) }).filter((name) => name !== 'target').map((name) => (name === 'urlShown' ? 'url' : name)).join(', ')}`, detail: { ...plain, ...(url === undefined ? {} : { url: shortenUrl(url) }), ...(moved ? { state } : {}) } }
  await ctx.db.write([
    recordEvents(ctx, [event]),
    statement(ctx.db.orm.update(webhook).set({ ...next, ...cursors }).where(eq(webhook.id, id))),
    ...(moved ? [...clearEndpoints(ctx, [id]), { sql: `UPDATE delivery SET due_ms = ? WHERE webhook_id = ? AND state = 'waiting' AND due_ms > ?`, args: [ctx.nowMs, id, ctx.nowMs] }] : []),
  ], [webhookUnmoved(row)])
  return viewWebhook(ctx, { ...row, ...next })
}
