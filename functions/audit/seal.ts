import { eq } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { setting } from '../../db/schema/operations.ts'
import type { Ctx } from '../context.ts'
import { chainKey, entriesAfter, genesis, sealOf, type ChainHead } from './chain.ts'

/** Where the chain ends now. */
export async function loadHead(ctx: Pick<Ctx, 'db'>): Promise<ChainHead> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, chainKey))
  return (row?.value as ChainHead | undefined) ?? genesis
}

/**
 * Chains the entries that are not sealed yet, in their order, at most 500 a run: reads 501 rows and writes 501. The
 * new head goes to the log too, where whoever changes the database cannot reach it. Of two runs at once one does nothing.
 */
export async function sealAudit(ctx: Ctx): Promise<ChainHead> {
  const head = await loadHead(ctx)
  const entries = await entriesAfter(ctx, head.seq)
  if (entries.length === 0) return head
  const seals: [number, string][] = []
  for (const entry of entries) seals.push([entry.seq, await sealOf(ctx, seals.at(-1)?.[1] ?? head.seal, entry)])
  const [seq, seal] = seals.at(-1)!
  const next: ChainHead = { seq, seal }
  const statements = [
    { sql: 'UPDATE audit SET seal = new.value->>1 FROM json_each(?) AS new WHERE audit.seq = new.value->>0', args: [JSON.stringify(seals)] },
    statement(ctx.db.orm.insert(setting).values({ key: chainKey, value: next }).onConflictDoUpdate({ target: setting.key, set: { value: next } })),
  ]
  const unmoved = { sql: "SELECT value->>'seq' FROM setting WHERE key = ?", args: [chainKey], is: head === genesis ? null : head.seq }
  try {
    await ctx.db.write(statements, [unmoved])
  } catch (error) {
    if (error instanceof GuardLost) return head
    throw error
  }
  ctx.log.write('info', 'audit.sealed', { seq, seal })
  return next
}
