import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { webhook, type WebhookRow } from '../../db/schema/webhook.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import type { WebhookView, webhookContracts } from '../../protocol/http/webhooks.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkIfMatch } from '../http/entity-tag.ts'
import { checkFilter } from './check-filter.ts'
import { checkUrl } from './check-url.ts'
import { endOf } from './create.ts'
import { loadWebhook, webhookUnmoved } from './load.ts'
import { dueNow } from './record-results.ts'
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
  const moved = state !== undefined && state !== row.state
  const retargeted = url === undefined ? {} : { ...(await retarget(ctx, row, url)), holdUntilMs: 0 }
  // whatever went wrong before was with another state of things
  const restarted = moved ? { state, disabledReason: state === 'disabled' ? `by ${ctx.actor.name}` : null, failures: 0, failingSinceMs: null, givenUpMs: null, holdUntilMs: 0 } : {}
  const next = { ...plain, ...retargeted, ...restarted, version: row.version + 1 }
  const cursors = moved && state === 'enabled' ? { alarmSeq: endOf('alarm_event'), auditSeq: endOf('audit') } : {}
  const said = { ...plain, ...(url === undefined ? {} : { url: shortenUrl(url) }), ...(state === undefined ? {} : { state }) }
  await ctx.db.write([
    recordEvents(ctx, [{ action: 'webhook.update', entity: `webhook/${id}`, why: `changed ${Object.keys(said).join(', ')}`, detail: said }]),
    statement(ctx.db.orm.update(webhook).set({ ...next, ...cursors }).where(eq(webhook.id, id))),
    ...(moved ? clearEndpoints(ctx, [id]) : []),
    // what waits because of what was need not any more
    ...(moved || url !== undefined ? [dueNow(ctx, id)] : []),
  ], [webhookUnmoved(row)])
  return viewWebhook(ctx, { ...row, ...next })
}

async function retarget(ctx: Ctx, row: WebhookRow, url: string): Promise<Pick<WebhookRow, 'target' | 'urlShown'>> {
  await checkUrl(ctx, url)
  const routingKey = row.format === 'pagerduty' ? (await openTarget(ctx, row.id, row.target)).routingKey : null
  return { target: await sealTarget(ctx, row.id, { url, routingKey }), urlShown: shortenUrl(url) }
}
