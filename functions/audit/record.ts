import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'

/** What happened to what, and why. `entity` is `rollout/{id}`, `release/{id}`, `site/{id}` or `token/{id}`. */
export type Event = { action: string; entity: string; siteId?: string; why: string; detail?: Record<string, unknown> }

/**
 * The statement that records events; it goes into the same batch as the change itself, so that a change without its
 * entry cannot land (SPEC I15). One statement, however many events.
 */
export function recordEvents(ctx: Pick<Ctx, 'nowMs' | 'actor' | 'requestId'>, events: readonly Event[]): Statement {
  const rows = events.map((event) => [event.action, event.entity, event.siteId ?? null, event.why, JSON.stringify(event.detail ?? {})])
  return {
    sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id)
          SELECT ?, ?, value->>0, value->>1, value->>2, value->>3, value->>4, ? FROM json_each(?)`,
    args: [ctx.nowMs, ctx.actor.name, ctx.requestId, JSON.stringify(rows)],
  }
}
