import { GuardLost } from '../../db/client.ts'
import { findDatabaseFault } from '../../db/database-fault.ts'
import { errorCodes, FleetError, type ErrorCode, type Problem } from '../../protocol/errors.ts'
import { controllerTimeHeader } from '../../protocol/http/agent-signature.ts'

const problem = (code: ErrorCode, requestId: string, detail: string, more: Partial<Problem> = {}): Problem => {
  const { status, title, retry } = errorCodes[code]
  return { type: `urn:murmur:problem:${code}`, title, status, code, detail, retry, requestId, ...more }
}

/**
 * What a caller is told about an error (RFC 9457). A lost guard is the caller's business when the caller named the
 * version, else a conflict that a second try may get past. A database that refuses is `unavailable`, with its reason.
 * What nobody foresaw says nothing of the inside.
 */
export function problemOf(error: unknown, request: { requestId: string; ifMatch: boolean }): Problem {
  const { requestId } = request
  if (error instanceof FleetError) return problem(error.code, requestId, error.message, { reason: error.reason, errors: error.errors })
  if (error instanceof GuardLost) {
    return request.ifMatch
      ? problem('precondition-failed', requestId, 'it was changed while this request was served; read it again')
      : problem('conflict', requestId, 'it was changed while this request was served; try again', { reason: 'changed', retry: true })
  }
  const fault = findDatabaseFault(error)
  if (fault !== null) return problem('unavailable', requestId, fault.message, { reason: fault.reason })
  return problem('internal', requestId, 'the request could not be served; the controller\'s log has the cause under this request id')
}

/** When to try again, in seconds: what only a person can mend is not worth asking for every moment. */
const retryAfterS: Record<string, number> = { 'database-quota': 300, 'database-denied': 300, 'migrations-pending': 60, 'settings': 300 }

/** The problem as a response; 503 says when to try again, 401 how to authenticate, and what time it is here for an agent with a wrong clock. */
export function problemResponse(body: Problem, nowMs: number): Response {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-request-id': body.requestId }
  if (body.status === 401) Object.assign(headers, { 'www-authenticate': 'Bearer', [controllerTimeHeader]: String(nowMs) })
  if (body.status === 503) headers['retry-after'] = String(retryAfterS[body.reason ?? ''] ?? 2)
  // the rest of the body is not read, so nothing else can come on this connection
  if (body.status === 413) headers.connection = 'close'
  return new Response(JSON.stringify(body), { status: body.status, headers })
}
