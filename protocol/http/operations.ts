import * as z from 'zod'
import { Envelope } from '../envelope.ts'
import { TokenId } from '../ids.ts'
import { limits } from '../limits.ts'
import { Span } from '../time.ts'
import { roles } from '../states.ts'
import { At, PageQuery, contract, page } from './contract.ts'

export const TokenView = z.object({ id: TokenId, name: z.string(), role: z.enum(roles), createdAt: At, createdBy: z.string(), expiresAt: At.nullable(), revokedAt: At.nullable() })
export type TokenView = z.infer<typeof TokenView>

/** One entry of the audit trail: who did what to what, and why. `entity` is `rollout/ro_…`, `site/…`, `release/…`, `token/…`. */
export const EventView = z.object({ seq: z.int(), at: At, actor: z.string(), action: z.string(), entity: z.string(), site: z.string().nullable(), why: z.string(), detail: z.record(z.string(), z.unknown()), requestId: z.string() })
export type EventView = z.infer<typeof EventView>

export const operationContracts = {
  createToken: contract({ id: 'createToken', tag: 'Tokens', method: 'post', path: '/v1/tokens', access: 'admin', summary: 'Make a bearer token; it is shown once', idempotencyKey: false, body: z.strictObject({ name: z.string().min(1).max(100), role: z.enum(roles), expiresIn: Span.optional() }), response: z.object({ token: TokenView, secret: z.string() }), status: 201 }),
  listTokens: contract({ id: 'listTokens', tag: 'Tokens', method: 'get', path: '/v1/tokens', access: 'admin', summary: 'List tokens', query: z.strictObject(PageQuery), response: page(TokenView) }),
  revokeToken: contract({ id: 'revokeToken', tag: 'Tokens', method: 'delete', path: '/v1/tokens/{token}', access: 'admin', summary: 'Revoke a token at once', params: z.strictObject({ token: TokenId }), response: z.null(), status: 204 }),
  putTrust: contract({ id: 'putTrust', tag: 'Trust', method: 'put', path: '/v1/trust', access: 'admin', summary: 'Install a trust.json of a higher version, signed by the root', body: Envelope, response: z.object({ version: z.int(), rootFingerprint: z.string() }) }),
  listEvents: contract({
    id: 'listEvents', tag: 'Events', method: 'get', path: '/v1/events', access: 'viewer', summary: 'The audit trail, oldest first; `after` follows it',
    query: z.strictObject({ limit: PageQuery.limit, after: z.coerce.number().int().nonnegative().optional(), entity: z.string().max(200).optional(), site: z.string().max(limits.slugLengthMax).optional() }),
    response: z.object({ items: z.array(EventView), last: z.int().nullable() }),
  }),
  health: contract({ id: 'health', tag: 'Operations', method: 'get', path: '/healthz', access: 'public', summary: 'Whether this process answers', response: z.object({ status: z.literal('ok'), version: z.string() }) }),
  ready: contract({ id: 'ready', tag: 'Operations', method: 'get', path: '/readyz', access: 'public', summary: 'Whether database and store answer', response: z.object({ status: z.literal('ok'), checks: z.record(z.string(), z.string()) }) }),
  whoAmI: contract({ id: 'whoAmI', tag: 'Tokens', method: 'get', path: '/v1/whoami', access: 'viewer', summary: 'The role behind the token, and the fleet', response: z.object({ actor: z.string(), role: z.enum(roles), fleet: z.string(), rootFingerprint: z.string().nullable() }) }),
} as const
