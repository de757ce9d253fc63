import { sql } from 'drizzle-orm'
import { utf8 } from '../../protocol/bytes.ts'
import type { Directive } from '../../protocol/directives.ts'
import { payloadTypes, signEnvelope } from '../../protocol/envelope.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { siteTopic } from '../../protocol/topics.ts'
import type { Ctx } from '../context.ts'

type PendingRow = { site_id: string; slot: string; epoch: number; generation: number; body: string; attempts: number; expires_ms: number | null }

const backOffMs = (attempts: number): number => Math.min(60_000, 1000 * 2 ** attempts)

/**
 * Signs what is pending in the outbox and hands it to the broker. Reads and writes at most `dispatchBatchMax` rows.
 * Two that run at once, or one killed between publish and note, publish twice: positions make that harmless (F50).
 * Returns how many the broker has acknowledged.
 */
export async function dispatchDirectives(ctx: Ctx): Promise<number> {
  const rows = await ctx.db.orm.all<PendingRow>(
    sql`SELECT site_id, slot, epoch, generation, body, attempts, expires_ms FROM directive WHERE pending = 1 AND due_ms <= ${ctx.nowMs} ORDER BY due_ms, site_id, generation LIMIT ${limits.dispatchBatchMax}`,
  )
  if (rows.length === 0) return 0
  const isAlive = (row: PendingRow) => row.expires_ms === null || row.expires_ms > ctx.nowMs
  const messages = []
  for (const row of rows) {
    if (!isAlive(row)) continue
    const directive = JSON.parse(row.body) as Directive
    const envelope = await signEnvelope(ctx.crypto, payloadTypes.directive, utf8(row.body), ctx.keys.fleetKey())
    messages.push({ key: keyOf(row), topic: siteTopic(ctx.config.fleet, row.site_id as SiteId, directive.kind), payload: utf8(JSON.stringify(envelope)), retain: directive.kind === 'desired' })
  }
  const sent = await ctx.broker.publish(messages)
  const done = rows.filter((row) => sent.has(keyOf(row)) || !isAlive(row))
  const later = rows.filter((row) => !sent.has(keyOf(row)) && isAlive(row))
  const which = `FROM json_each(?) AS j WHERE directive.site_id = j.value->>0 AND directive.slot = j.value->>1 AND directive.epoch = j.value->>2 AND directive.generation = j.value->>3`
  const list = (some: PendingRow[]) => JSON.stringify(some.map((row) => [row.site_id, row.slot, row.epoch, row.generation, ctx.nowMs + backOffMs(row.attempts)]))
  await ctx.db.write([
    { sql: `UPDATE directive SET pending = 0, sent_ms = ? ${which}`, args: [ctx.nowMs, list(done)] },
    { sql: `UPDATE directive SET attempts = attempts + 1, due_ms = j.value->>4 ${which}`, args: [list(later)] },
  ])
  if (later.length > 0) ctx.log.write('warn', 'directive.undelivered', { count: later.length, requestId: ctx.requestId })
  return sent.size
}

const keyOf = (row: PendingRow): string => `${row.site_id}/${row.slot}/${row.epoch}/${row.generation}`
