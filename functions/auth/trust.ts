import { eq } from 'drizzle-orm'
import * as z from 'zod'
import { setting } from '../../db/schema/operations.ts'
import { fromBase64, fromUtf8 } from '../../protocol/bytes.ts'
import { Envelope } from '../../protocol/envelope.ts'
import { FleetError } from '../../protocol/errors.ts'
import { Trust } from '../../protocol/trust.ts'
import type { Ctx } from '../context.ts'

/** How the setting `trust` is kept: `version` beside the document, so that a guard can compare it. */
const StoredTrust = z.object({ version: z.int(), rootFingerprint: z.string(), envelope: Envelope })
export type StoredTrust = z.infer<typeof StoredTrust>

export const trustKey = 'trust'
const noTrust = (): FleetError => new FleetError('conflict', 'no trust.json is installed yet; sign one with the root key and install it first', { reason: 'no-trust' })

/** The installed trust.json, which was verified when it was installed; null before that. Reads one row. */
export async function loadTrust(ctx: Pick<Ctx, 'db'>): Promise<(StoredTrust & { trust: Trust }) | null> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, trustKey))
  if (row === undefined) return null
  const stored = StoredTrust.parse(row.value)
  return { ...stored, trust: Trust.parse(JSON.parse(fromUtf8(fromBase64(stored.envelope.payload)))) }
}

/** The same, where nothing can be done without it: throws `conflict`. */
export async function requireTrust(ctx: Pick<Ctx, 'db'>): Promise<StoredTrust & { trust: Trust }> {
  const stored = await loadTrust(ctx)
  if (stored === null) throw noTrust()
  return stored
}
