import { GuardLost, statement } from '../../db/client.ts'
import { token } from '../../db/schema/operations.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'

/**
 * Gives a new controller its first admin: a token with this hash (of `hashSecret`), unless an admin token is in force
 * already. Returns whether it was made. Safe to call at every start, also by two processes at once.
 */
export async function ensureFirstAdmin(ctx: Ctx, hash: string): Promise<boolean> {
  const row = { id: `tk_${ctx.ids.sortable(ctx.nowMs)}`, name: 'first-admin', role: 'admin' as const, hash, createdBy: ctx.actor.name, createdMs: ctx.nowMs }
  const event = { action: 'token.created', entity: `token/${row.id}`, why: 'the controller had no admin yet', detail: { name: row.name, role: row.role } }
  const noAdmin = { sql: "SELECT EXISTS (SELECT 1 FROM token WHERE hash = ? OR (role = 'admin' AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?)))", args: [hash, ctx.nowMs], is: 0 }
  try {
    await ctx.db.write([statement(ctx.db.orm.insert(token).values(row)), recordEvents(ctx, [event])], [noAdmin])
    return true
  } catch (error) {
    if (error instanceof GuardLost) return false
    throw error
  }
}
