import type { WebhookRow } from '../../db/schema/webhook.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import type { Ctx } from '../context.ts'
import { deriveSecret } from './secrets.ts'
import { viewWebhook } from './view.ts'

/** A webhook with its newest secret. With `v1a` there is none to show: who receives needs the public key alone. */
export async function showSecret(ctx: Ctx, row: WebhookRow): Promise<ResponseOf<typeof webhookContracts.createWebhook>> {
  const version = Math.max(...row.secrets.map((each) => each.version))
  return { webhook: await viewWebhook(ctx, row), secret: row.signing === 'v1' ? (await deriveSecret(ctx, row.id, version)).secret : null }
}
