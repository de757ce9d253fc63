import { sql } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { webhook, type WebhookRow } from '../../db/schema/webhook.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkFilter } from './check-filter.ts'
import { checkUrl } from './check-url.ts'
import { sealTarget } from './secrets.ts'
import { showSecret } from './show-secret.ts'
import { shortenUrl } from './view.ts'

type Contract = typeof webhookContracts.createWebhook

/**
 * Subscribes an endpoint: it is told what happens from now on. The secret is shown this once, and is nowhere in the database. Throws `bad-request` for a URL that nothing
 * would be sent to and for a filter that nothing can fit, `conflict` when there are as many webhooks as there may be.
 */
export async function createWebhook(ctx: Ctx, input: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  const { name, filter, perSecond, url, format, signing, routingKey = null } = input
  checkFilter(filter)
  if ((format === 'pagerduty') !== (routingKey !== null)) throw new FleetError('bad-request', 'routingKey goes with the format pagerduty, and only with that', { errors: [{ path: 'routingKey', message: 'goes with the format pagerduty, and only with that' }] })
  await checkUrl(ctx, url)
  const id = `wh_${ctx.ids.sortable(ctx.nowMs)}`
  const row: WebhookRow = {
    id, name, target: await sealTarget(ctx, id, { url, routingKey }), urlShown: shortenUrl(url), format, signing, secrets: [{ version: 1, expiresMs: null }], filter, perSecond,
    state: 'enabled', disabledReason: null, alarmSeq: 0, auditSeq: 0, failures: 0, failingSinceMs: null, givenUpMs: null, holdUntilMs: 0, pacedUntilMs: 0,
    createdBy: ctx.actor.name, createdMs: ctx.nowMs, version: 1,
  }
  const insert = ctx.db.orm.insert(webhook).values({ ...row, alarmSeq: endOf('alarm_event'), auditSeq: endOf('audit') })
  const event = { action: 'webhook.create', entity: `webhook/${id}`, why: `${name} (${format})`, detail: { url: row.urlShown, format, signing, filter, perSecond } }
  const room = { sql: 'SELECT count(*) < ? FROM webhook', args: [limits.webhooksMax], is: 1 }
  try {
    await ctx.db.write([recordEvents(ctx, [event]), statement(insert)], [room])
  } catch (error) {
    if (error instanceof GuardLost) throw new FleetError('conflict', `there are ${limits.webhooksMax} webhooks, and no more may be: remove one first`, { reason: 'too-many' })
    throw error
  }
  return showSecret(ctx, row)
}

/** Where a log ends now, for a batch that begins to read there. */
export const endOf = (log: 'alarm_event' | 'audit') => sql<number>`(SELECT coalesce(max(seq), 0) FROM ${sql.identifier(log)})`
