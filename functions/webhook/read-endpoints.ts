import { sql } from 'drizzle-orm'
import { webhook, type WebhookRow } from '../../db/schema/webhook.ts'
import { alarmIds, fleetSite } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import type { Severity } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import type { Cursors } from './gather-events.ts'

/** A webhook, whether anything waits for it, the severity of the alarm about it that stands, and where the logs end. */
export type Endpoint = { row: WebhookRow; waits: boolean; standing: Severity | null; ends: Cursors }

/** All webhooks. Reads two rows of the logs, and three for each webhook: none where there is no webhook. */
export async function readEndpoints(ctx: Ctx): Promise<Endpoint[]> {
  const rows = await ctx.db.orm
    .select({
      row: webhook,
      waits: sql<number>`EXISTS (SELECT 1 FROM delivery d WHERE d.webhook_id = webhook.id AND d.state = 'waiting')`,
      standing: sql<Severity | null>`(SELECT a.severity FROM alarm a WHERE a.site_id = ${fleetSite} AND a.alarm_id = ${alarmIds.webhookFailing} AND a.entity = 'webhook=' || webhook.id AND a.cleared_ms IS NULL)`,
      alarmEnd: sql<number>`(SELECT coalesce(max(seq), 0) FROM alarm_event)`,
      auditEnd: sql<number>`(SELECT coalesce(max(seq), 0) FROM audit)`,
    })
    .from(webhook).limit(limits.webhooksMax)
  return rows.map(({ row, waits, standing, alarmEnd, auditEnd }) => ({ row, waits: waits === 1, standing, ends: { alarmSeq: alarmEnd, auditSeq: auditEnd } }))
}
