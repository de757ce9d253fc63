import { FleetError } from '../../protocol/errors.ts'
import type { Role } from '../../protocol/states.ts'
import type { Handlers } from '../http/handler.ts'
import { createToken } from './create.ts'
import { listTokens } from './list.ts'
import { putTrust } from './put-trust.ts'
import { revokeToken } from './revoke.ts'
import { loadTrust } from './trust.ts'

export const authRoutes = {
  createToken: (ctx, { body }) => createToken(ctx, body),
  listTokens: (ctx, { query }) => listTokens(ctx, query),
  revokeToken: (ctx, { params }) => revokeToken(ctx, params.token),
  putTrust: (ctx, { body }) => putTrust(ctx, body),
  getTrust: async (ctx) => {
    const stored = await loadTrust(ctx)
    if (stored === null) throw new FleetError('not-found', 'no trust.json is installed yet')
    return stored.envelope
  },
  whoAmI: async (ctx) => ({
    // only a bearer token's role gets here: agents are refused by the contract's access
    actor: ctx.actor.name, role: ctx.actor.role as Role, fleet: ctx.config.fleet, rootFingerprint: (await loadTrust(ctx))?.rootFingerprint ?? null,
  }),
} satisfies Partial<Handlers>
