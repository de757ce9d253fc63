import { GuardLost, statement } from '../../db/client.ts'
import { token, type TokenRow } from '../../db/schema/operations.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { operationContracts } from '../../protocol/http/operations.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { hashSecret, newSecret } from './secret.ts'
import { viewToken } from './view.ts'

type Contract = typeof operationContracts.createToken

/** Makes a token and shows its secret this once. Throws `conflict` for a name that a token in force has: names are what the audit trail says. */
export async function createToken(ctx: Ctx, input: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  const secret = newSecret(ctx.ids, 'mm')
  const row: TokenRow = {
    id: `tk_${ctx.ids.sortable(ctx.nowMs)}`, name: input.name, role: input.role, hash: await hashSecret(ctx.crypto, secret),
    createdBy: ctx.actor.name, createdMs: ctx.nowMs, expiresMs: input.expiresIn === undefined ? null : ctx.nowMs + input.expiresIn, revokedMs: null,
  }
  const event = { action: 'token.created', entity: `token/${row.id}`, why: `${row.role} token ${row.name}`, detail: { name: row.name, role: row.role, expiresMs: row.expiresMs } }
  const nameIsFree = { sql: 'SELECT EXISTS (SELECT 1 FROM token WHERE name = ? AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?))', args: [row.name, ctx.nowMs], is: 0 }
  try {
    await ctx.db.write([statement(ctx.db.orm.insert(token).values(row)), recordEvents(ctx, [event])], [nameIsFree])
  } catch (error) {
    if (error instanceof GuardLost) throw new FleetError('conflict', `a token in force is already called ${row.name}; revoke it first or take another name`, { reason: 'name-taken' })
    throw error
  }
  return { token: viewToken(row), secret }
}
