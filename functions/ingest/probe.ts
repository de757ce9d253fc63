import { eq } from 'drizzle-orm'
import * as z from 'zod'
import { setting } from '../../db/schema/operations.ts'
import { equalBytes, fromBase64, toBase64, utf8 } from '../../protocol/bytes.ts'
import { parsePayload } from '../../protocol/envelope.ts'
import { RequestId, TimeMs } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import { probeTopic } from '../../protocol/topics.ts'
import type { Ctx } from '../context.ts'
import type { OutgoingMessage } from '../ports/broker.ts'

/** The last probe that came back. `sentAtMs` and `receivedAtMs` are by the controller's clock. */
const Probe = z.object({ nonce: RequestId, sentAtMs: TimeMs, receivedAtMs: TimeMs })
export type Probe = z.infer<typeof Probe>
const ProbeMessage = z.strictObject({ nonce: RequestId, sentAtMs: TimeMs, seal: z.base64().max(100) })

type Sealing = Pick<Ctx, 'crypto' | 'keys' | 'config'>
const probeKey = 'probe'

/** HMAC by a key of its own, so that no report passes for a probe and no probe for a report. */
async function sealOf({ crypto, keys, config }: Sealing, nonce: string, sentAtMs: number): Promise<Uint8Array> {
  const key = await crypto.derive(keys.ingestSecret(), `murmur probe ${config.fleet}`)
  return crypto.hmac(key, utf8(`${nonce} ${sentAtMs}`))
}

/** A message to this controller itself, by way of the broker, into which it goes as reports do. `nonce` (8 to 64 of 0-9 A-Z a-z _ -) tells it from others. */
export async function makeProbe(ctx: Sealing & Pick<Ctx, 'nowMs' | 'broker'>, nonce: string): Promise<OutgoingMessage> {
  const seal = toBase64(await sealOf(ctx, RequestId.parse(nonce), ctx.nowMs))
  return { key: `probe/${nonce}`, topic: `${ctx.broker.reportPrefix ?? ''}${probeTopic(ctx.config.fleet)}`, payload: utf8(JSON.stringify({ nonce, sentAtMs: ctx.nowMs, seal })), retain: false }
}

/** Notes that a probe came back, in one row; once for each nonce. What this controller did not make lately is refused, and writes nothing. */
export async function takeProbe(ctx: Ctx, payload: Uint8Array): Promise<Result<Probe, string>> {
  const parsed = parsePayload(ProbeMessage, payload)
  if (!parsed.ok) return refuse(`malformed probe: ${parsed.refusal.detail}`)
  const { nonce, sentAtMs, seal } = parsed.value
  if (!equalBytes(await sealOf(ctx, nonce, sentAtMs), fromBase64(seal))) return refuse('a probe of somebody else')
  if (Math.abs(ctx.nowMs - sentAtMs) > limits.probeLifeMs) return refuse('a probe of long ago')
  const probe: Probe = { nonce, sentAtMs, receivedAtMs: ctx.nowMs }
  await ctx.db.write([{
    sql: "INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE setting.value->>'nonce' <> excluded.value->>'nonce'",
    args: [probeKey, JSON.stringify(probe)],
  }])
  return ok(probe)
}

/** The last probe that came back; null before the first. Reads one row. */
export async function readProbe(ctx: Pick<Ctx, 'db'>): Promise<Probe | null> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, probeKey))
  return row === undefined ? null : Probe.parse(row.value)
}
