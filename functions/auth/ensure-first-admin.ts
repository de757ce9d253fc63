import { and, eq, gt, isNull, or } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { token } from '../../db/schema/operations.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'

/**
 * Gives a new controller its first admin: a token with this hash (of `hashSecret`), unless an admin token is in force
 * already. Returns whether it was made. Safe to call at every start, also by two processes at once; a database that has one is only read.
 */
export async function ensureFirstAdmin(ctx: Ctx, hash: string): Promise<boolean> {
  const row = { id: `tk_${ctx.ids.sortable(ctx.nowMs)}`, name: 'first-admin', role: 'admin' as const, hash, createdBy: ctx.actor.name, createdMs: ctx.nowMs }
  const event = { action: 'token.created', entity: `token/${row.id}`, why: 'the controller had no admin yet', detail: { name: row.name, role: row.role } }
  const inForce = and(eq(token.role, 'admin'), isNull(token.revokedMs), or(isNull(token.expiresMs), gt(token.expiresMs, ctx.nowMs)))
  const standing = ctx.db.orm.select({ id: token.id }).from(token).where(or(eq(token.hash, hash), inForce)).limit(1)
  if ((await standing).length > 0) return false
  try {
    await ctx.db.write([statement(ctx.db.orm.insert(token).values(row)), recordEvents(ctx, [event])], [{ ...statement(standing), is: null }])
    return true
  } catch (error) {
    if (error instanceof GuardLost) return false
    throw error
  }
}
