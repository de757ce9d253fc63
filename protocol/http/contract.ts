import * as z from 'zod'
import type { Role } from '../states.ts'
import { limits } from '../limits.ts'

/**
 * One operation of the HTTP API. The server routes by it, checks with it and documents with it; the CLI and the agent
 * call by it. `path` has parameters in braces, as OpenAPI writes them.
 */
export type Contract<P extends z.ZodType = z.ZodType, Q extends z.ZodType = z.ZodType, B extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> = {
  id: string
  tag: string
  method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  path: string
  /** Lowest role that may call it; `public` needs no credentials, `agent` a signature of an enrolled site's key. */
  access: Role | 'public' | 'agent'
  summary: string
  params: P
  query: Q
  body: B | null
  bodyBytesMax: number
  response: R
  status: 200 | 201 | 202 | 204
  /** Gives an `ETag`, and takes `If-Match` on the operations that change the same thing. */
  etag: boolean
  /** Takes `Idempotency-Key`: the same key and body within a day get the first answer again. Never where the answer holds a secret, which nobody keeps.
   * `once`: a repetition would do something else again, so after an answer that was lost the same key is refused rather than heeded. */
  idempotencyKey: boolean | 'once'
}

const nothing = z.strictObject({})

type Draft<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType> = Pick<Contract<P, Q, B, R>, 'id' | 'tag' | 'method' | 'path' | 'access' | 'summary' | 'response'> &
  Partial<Pick<Contract<P, Q, B, R>, 'params' | 'query' | 'body' | 'bodyBytesMax' | 'status' | 'etag' | 'idempotencyKey'>>

/** Fills in what most operations have in common, and keeps the types. */
export function contract<R extends z.ZodType, P extends z.ZodType = typeof nothing, Q extends z.ZodType = typeof nothing, B extends z.ZodType = z.ZodUndefined>(draft: Draft<P, Q, B, R>): Contract<P, Q, B, R> {
  return {
    params: nothing as unknown as P, query: nothing as unknown as Q, body: null, bodyBytesMax: limits.httpBodyBytesMax,
    status: 200, etag: false, idempotencyKey: draft.method === 'post', ...draft,
  }
}

export type ParamsOf<C> = C extends Contract<infer P, z.ZodType, z.ZodType, z.ZodType> ? z.output<P> : never
export type QueryOf<C> = C extends Contract<z.ZodType, infer Q, z.ZodType, z.ZodType> ? z.output<Q> : never
export type BodyOf<C> = C extends Contract<z.ZodType, z.ZodType, infer B, z.ZodType> ? z.output<B> : never
export type BodyInput<C> = C extends Contract<z.ZodType, z.ZodType, infer B, z.ZodType> ? z.input<B> : never
export type ResponseOf<C> = C extends Contract<z.ZodType, z.ZodType, z.ZodType, infer R> ? z.output<R> : never

/** Pages are walked with the opaque `cursor` of the page before; `next` is null on the last one. */
export const PageQuery = { limit: z.coerce.number().int().min(1).max(limits.pageSizeMax).default(limits.pageSizeDefault), cursor: z.string().max(2000).optional() }
export const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next: z.string().nullable() })

/** RFC 3339 in UTC: how the HTTP API writes times. */
export const At = z.iso.datetime()
export const at = (timeMs: number): string => new Date(timeMs).toISOString()
export const atOrNull = (timeMs: number | null): string | null => (timeMs === null ? null : at(timeMs))
