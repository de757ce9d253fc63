import { asc, gt } from 'drizzle-orm'
import { audit, type AuditRow } from '../../db/schema/operations.ts'
import { canonicalJson, toHex, utf8 } from '../../protocol/bytes.ts'
import type { Ctx } from '../context.ts'

/** How far the chain goes: the seal of the entry `seq` covers it and all before it. */
export type ChainHead = { seq: number; seal: string }
export const genesis: ChainHead = { seq: 0, seal: '0'.repeat(64) }
export const chainKey = 'audit-chain'
/** Entries that one step of sealing or verifying reads. */
const entriesPerStep = 500

/** SHA-256 over the seal before it and everything an entry says. */
export async function sealOf(ctx: Pick<Ctx, 'crypto'>, before: string, row: AuditRow): Promise<string> {
  const { seal: _, ...said } = row
  return toHex(await ctx.crypto.sha256(utf8(`${before}\n${canonicalJson(said)}`)))
}

export const entriesAfter = (ctx: Pick<Ctx, 'db'>, seq: number): Promise<AuditRow[]> =>
  ctx.db.orm.select().from(audit).where(gt(audit.seq, seq)).orderBy(asc(audit.seq)).limit(entriesPerStep)
