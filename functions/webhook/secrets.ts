import { concatBytes, fromBase64, fromUtf8, toBase64, utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Ctx } from '../context.ts'

/** What secrets are made from: never the database. */
export type Secrets = Pick<Ctx, 'crypto' | 'keys' | 'config'>
/** Where messages go. `routingKey` is PagerDuty's integration key. */
export type Target = { url: string; routingKey: string | null }

const nonceBytes = 12
// PKCS #8 of an Ed25519 key up to its 32 secret bytes (RFC 8410 §7)
const privateKeyHead = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20])

const derive = async (ctx: Secrets, what: string): Promise<Uint8Array> => ctx.crypto.derive(ctx.keys.ingestSecret(), `murmur webhook ${what} ${ctx.config.fleet}`)

/** One version of the secret that signs with `v1`: as the subscriber is shown it (`whsec_…`), and its 32 bytes. The same each time it is asked for. */
export async function deriveSecret(ctx: Secrets, webhookId: string, version: number): Promise<{ secret: string; key: Uint8Array }> {
  const key = await derive(ctx, `secret ${webhookId} ${version}`)
  return { secret: `whsec_${toBase64(key)}`, key }
}

/** One version of the pair that signs with `v1a`: the public key as the subscriber is shown it (`whpk_…`), the private one as PKCS #8 DER. */
export async function deriveKeyPair(ctx: Secrets, webhookId: string, version: number): Promise<{ publicKey: string; privateKey: Uint8Array }> {
  const privateKey = concatBytes([privateKeyHead, await derive(ctx, `seed ${webhookId} ${version}`)])
  return { publicKey: `whpk_${toBase64(await ctx.crypto.publicKeyOf(privateKey))}`, privateKey }
}

/** The target as the database may hold it: base64 that nobody reads or changes unnoticed without the controller's secret. */
export async function sealTarget(ctx: Secrets & Pick<Ctx, 'ids'>, webhookId: string, target: Target): Promise<string> {
  const nonce = ctx.ids.secret(nonceBytes)
  const plain = utf8(JSON.stringify([target.url, target.routingKey]))
  return toBase64(concatBytes([nonce, await ctx.crypto.seal(await derive(ctx, `target ${webhookId}`), nonce, plain)]))
}

/** What `sealTarget` sealed for this webhook. Throws `conflict` (`target-unreadable`) where it was sealed for another one or under another secret. */
export async function openTarget(ctx: Secrets, webhookId: string, sealed: string): Promise<Target> {
  const bytes = fromBase64(sealed)
  const plain = await ctx.crypto.unseal(await derive(ctx, `target ${webhookId}`), bytes.subarray(0, nonceBytes), bytes.subarray(nonceBytes))
  if (plain === null) throw new FleetError('conflict', `the URL of webhook ${webhookId} was sealed under another secret than this controller's: set it anew`, { reason: 'target-unreadable' })
  const [url, routingKey] = JSON.parse(fromUtf8(plain)) as [string, string | null]
  return { url, routingKey }
}
