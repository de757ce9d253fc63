import { eq } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { token } from '../../db/schema/operations.ts'
import { fromBase64 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { parseAgentSignature, verifyAgentRequest, type AgentSignature } from '../../protocol/http/agent-signature.ts'
import { limits } from '../../protocol/limits.ts'
import { hashSecret, tokenPattern } from '../auth/secret.ts'
import type { Actor, Deps } from '../context.ts'

const unauthenticated = (detail: string, reason: string): FleetError => new FleetError('unauthenticated', detail, { reason })

/**
 * Who sends a request: a bearer token, or an enrolled site's signature. Whatever is not well-formed is refused before the
 * database is asked (F76). `readBody` is called only for a signature, which covers the body. Throws `unauthenticated`.
 */
export async function authenticate(deps: Deps, request: Request, readBody: () => Promise<Uint8Array>): Promise<Actor> {
  const header = request.headers.get('authorization')
  if (header === null) throw unauthenticated('this operation needs an authorization header', 'no-credentials')
  const bearer = /^Bearer +(\S+)$/i.exec(header)?.[1]
  if (bearer !== undefined) return authenticateToken(deps, bearer)
  const signature = parseAgentSignature(header)
  if (signature !== null) return authenticateAgent(deps, request, signature, readBody)
  throw unauthenticated('the authorization header is neither a bearer token nor an agent\'s signature', 'malformed-credentials')
}

async function authenticateToken(deps: Deps, secret: string): Promise<Actor> {
  if (!tokenPattern.test(secret)) throw unauthenticated('this is not a token of this controller', 'unknown-token')
  const [row] = await deps.db.orm.select().from(token).where(eq(token.hash, await hashSecret(deps.crypto, secret)))
  if (row === undefined) throw unauthenticated('this is not a token of this controller', 'unknown-token')
  if (row.revokedMs !== null) throw unauthenticated('the token was revoked', 'revoked-token')
  if (row.expiresMs !== null && row.expiresMs <= deps.clock.nowMs()) throw unauthenticated('the token has expired', 'expired-token')
  return { name: `token:${row.name}`, role: row.role }
}

async function authenticateAgent(deps: Deps, request: Request, signature: AgentSignature, readBody: () => Promise<Uint8Array>): Promise<Actor> {
  if (Math.abs(signature.timeMs - deps.clock.nowMs()) > limits.agentClockSkewMs) throw unauthenticated('the time of the signature is too far off; sign again with the time in murmur-time-ms', 'clock-skew')
  const [row] = await deps.db.orm.select({ state: site.state, incarnation: site.incarnation, publicKey: site.publicKey }).from(site).where(eq(site.id, signature.site))
  if (row?.state !== 'enrolled' || row.publicKey === null) throw unauthenticated('no agent of this site is enrolled', 'not-enrolled')
  if (row.incarnation !== signature.incarnation) throw unauthenticated('the site was enrolled anew since', 'fenced')
  const { pathname, search } = new URL(request.url)
  const verified = await verifyAgentRequest(deps.crypto, fromBase64(row.publicKey), request.method, pathname + search, await readBody(), signature)
  if (!verified) throw unauthenticated('the signature is not right for this request and site', 'bad-signature')
  return { name: `site:${signature.site}`, role: 'agent', incarnation: row.incarnation }
}
