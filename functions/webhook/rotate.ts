import { eq } from 'drizzle-orm'
import { statement } from '../../db/client.ts'
import { webhook } from '../../db/schema/webhook.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { loadWebhook, webhookUnmoved } from './load.ts'
import { showSecret } from './show-secret.ts'

/**
 * Makes a new secret. Messages are signed with the old ones as well for `keepOldForMs` more, those that are being retried too (F66). Throws `not-found`, and `conflict` when
 * too many secrets are still in force.
 */
export async function rotateWebhook(ctx: Ctx, id: string, keepOldForMs: number): Promise<ResponseOf<typeof webhookContracts.rotateWebhook>> {
  const row = await loadWebhook(ctx, id)
  const untilMs = ctx.nowMs + keepOldForMs
  const kept = row.secrets.map(({ version, expiresMs }) => ({ version, expiresMs: Math.min(expiresMs ?? untilMs, untilMs) })).filter(({ expiresMs }) => expiresMs > ctx.nowMs)
  if (kept.length >= limits.webhookSecretsMax) throw new FleetError('conflict', `${kept.length} secrets are still in force; wait until one ends, or end them with keepOldFor 0`, { reason: 'too-many' })
  const version = Math.max(...row.secrets.map((each) => each.version)) + 1
  const next = { secrets: [...kept, { version, expiresMs: null }], version: row.version + 1 }
  const event = { action: 'webhook.rotate', entity: `webhook/${id}`, why: `secret ${version} takes the place of ${version - 1}`, detail: { oldUntilMs: untilMs } }
  await ctx.db.write([statement(ctx.db.orm.update(webhook).set(next).where(eq(webhook.id, id))), recordEvents(ctx, [event])], [webhookUnmoved(row)])
  return showSecret(ctx, { ...row, ...next })
}
