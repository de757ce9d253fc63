import { and, eq, isNull } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { token } from '../../db/schema/operations.ts'
import { FleetError } from '../../protocol/errors.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'

/** Revokes a token at once; revoking it again changes nothing. Throws `not-found`, and `conflict` for the last admin in force (F70). */
export async function revokeToken(ctx: Ctx, id: string): Promise<null> {
  const [row] = await ctx.db.orm.select().from(token).where(eq(token.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no token ${id}`)
  if (row.revokedMs !== null) return null
  const revoke = statement(ctx.db.orm.update(token).set({ revokedMs: ctx.nowMs }).where(and(eq(token.id, id), isNull(token.revokedMs))))
  const event = { action: 'token.revoked', entity: `token/${id}`, why: `${row.role} token ${row.name}` }
  const anotherAdmin = { sql: "SELECT EXISTS (SELECT 1 FROM token WHERE role = 'admin' AND id <> ? AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?))", args: [id, ctx.nowMs], is: 1 }
  try {
    await ctx.db.write([revoke, recordEvents(ctx, [event])], row.role === 'admin' ? [anotherAdmin] : [])
  } catch (error) {
    if (error instanceof GuardLost) throw new FleetError('conflict', 'this is the last admin token in force; make another one first', { reason: 'last-admin' })
    throw error
  }
  return null
}
