import { and, eq, isNull } from 'drizzle-orm'
import { statement, type Statement } from '../../db/client.ts'
import { idempotency } from '../../db/schema/operations.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'

/** `status` of a key whose request has written something; 1 once there is an answer. */
const written = 2

/** How long a request holds its key before it has an answer: one that was killed in between must not hold it for a day. */
const reservationMs = 60_000

/** Same method, URL and body give the same fingerprint. */
async function fingerprintOf(ctx: Ctx, request: Request, body: Uint8Array): Promise<string> {
  return toHex(await ctx.crypto.sha256(utf8(`${request.method} ${request.url}\n${toHex(await ctx.crypto.sha256(body))}`)))
}

/**
 * Does `work` once per actor and `Idempotency-Key`. The same request again gets the first answer again; another request
 * under the same key is `unprocessable`; a second one while the first still runs is a `conflict`. Only answers are kept:
 * after an error the key is free again. With `once` it is not where something was written and the error is none of ours: whether the
 * database's last answer was lost nobody knows (F52). Costs two writes, and one read where the key is known.
 */
export async function withIdempotency<T>(ctx: Ctx, request: Request, body: Uint8Array, kind: true | 'once', work: (ctx: Ctx) => Promise<T>): Promise<T> {
  const key = request.headers.get('idempotency-key')
  if (key === null) return work(ctx)
  if (!/^[\x21-\x7e]{1,200}$/.test(key)) throw new FleetError('bad-request', 'Idempotency-Key must be 1 to 200 visible ASCII characters', { errors: [{ path: 'header.idempotency-key', message: 'is not valid' }] })
  const fingerprint = await fingerprintOf(ctx, request, body)
  const reserved = await ctx.db.write([
    { sql: 'DELETE FROM idempotency WHERE actor = ? AND key = ? AND expires_ms <= ?', args: [ctx.actor.name, key, ctx.nowMs] },
    statement(ctx.db.orm.insert(idempotency).values({ actor: ctx.actor.name, key, fingerprint, expiresMs: ctx.nowMs + reservationMs }).onConflictDoNothing()),
  ])
  if (reserved[1]!.rowsAffected === 0) return firstAnswer<T>(ctx, key, fingerprint)
  const own = and(eq(idempotency.actor, ctx.actor.name), eq(idempotency.key, key), eq(idempotency.fingerprint, fingerprint))
  const answer = await work(kind === 'once' ? marking(ctx, statement(ctx.db.orm.update(idempotency).set({ status: written, expiresMs: ctx.nowMs + limits.idempotencyLifeMs }).where(own))) : ctx).catch(async (error: unknown) => {
    const unwritten = error instanceof FleetError ? own : and(own, isNull(idempotency.status))
    await ctx.db.write([statement(ctx.db.orm.delete(idempotency).where(unwritten))])
    throw error
  })
  await ctx.db.write([statement(ctx.db.orm.update(idempotency).set({ status: 1, body: JSON.stringify(answer), expiresMs: ctx.nowMs + limits.idempotencyLifeMs }).where(own))])
  return answer
}

/** The context, with this statement in every batch that is written in it: what lands is known to have landed. */
function marking(ctx: Ctx, mark: Statement): Ctx {
  const write: Ctx['db']['write'] = async (statements, guards) => (await ctx.db.write([...statements, mark], guards)).slice(0, statements.length)
  return { ...ctx, db: { ...ctx.db, write } }
}

async function firstAnswer<T>(ctx: Ctx, key: string, fingerprint: string): Promise<T> {
  const [row] = await ctx.db.orm.select().from(idempotency).where(and(eq(idempotency.actor, ctx.actor.name), eq(idempotency.key, key)))
  if (row !== undefined && row.fingerprint !== fingerprint) throw new FleetError('unprocessable', 'this Idempotency-Key was used for another request', { reason: 'key-reused' })
  if (row?.body == null && row?.status === written) throw new FleetError('conflict', 'the first request with this Idempotency-Key was carried out, but its answer was lost: look for what it made before you ask again with another key', { reason: 'answer-lost' })
  if (row?.body == null) throw new FleetError('conflict', 'the first request with this Idempotency-Key has not ended yet; try again shortly', { reason: 'in-progress' })
  return JSON.parse(row.body) as T
}

/** Forgets answers that are too old to be asked for. Writes at most 1,000 rows a run. */
export async function expireIdempotency(ctx: Ctx): Promise<number> {
  const [deleted] = await ctx.db.write([{ sql: 'DELETE FROM idempotency WHERE (actor, key) IN (SELECT actor, key FROM idempotency WHERE expires_ms <= ? LIMIT 1000)', args: [ctx.nowMs] }])
  return deleted!.rowsAffected
}
