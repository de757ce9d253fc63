import type { WebhookRow } from '../../db/schema/webhook.ts'
import { toBase64, utf8 } from '../../protocol/bytes.ts'
import { deriveKeyPair, deriveSecret, type Secrets } from './secrets.ts'

/** What is signed: `id` is the same in every attempt, `timestampS` (seconds since 1970) is that of this one. */
export type SignedMessage = { id: string; timestampS: number; body: string }

/** The headers of Standard Webhooks: signatures with every version of the secret that has not ended by then, newest first. */
export async function signMessage(ctx: Secrets, webhook: Pick<WebhookRow, 'id' | 'signing' | 'secrets'>, message: SignedMessage): Promise<Record<string, string>> {
  const content = utf8(`${message.id}.${message.timestampS}.${message.body}`)
  const live = webhook.secrets.filter(({ expiresMs }) => expiresMs === null || expiresMs > message.timestampS * 1000).sort((a, b) => b.version - a.version)
  const signatures = await Promise.all(live.map(async ({ version }) => `${webhook.signing},${toBase64(await signWith(ctx, webhook, version, content))}`))
  return { 'webhook-id': message.id, 'webhook-timestamp': String(message.timestampS), 'webhook-signature': signatures.join(' ') }
}

async function signWith(ctx: Secrets, webhook: Pick<WebhookRow, 'id' | 'signing'>, version: number, content: Uint8Array): Promise<Uint8Array> {
  if (webhook.signing === 'v1') return ctx.crypto.hmac((await deriveSecret(ctx, webhook.id, version)).key, content)
  return ctx.crypto.sign((await deriveKeyPair(ctx, webhook.id, version)).privateKey, content)
}
