import { sql } from 'drizzle-orm'
import { utf8 } from '../../protocol/bytes.ts'
import type { Directive } from '../../protocol/directives.ts'
import { payloadTypes, signEnvelope } from '../../protocol/envelope.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { siteTopic } from '../../protocol/topics.ts'
import type { Ctx } from '../context.ts'
import type { OutgoingMessage } from '../ports/broker.ts'

type PendingRow = { site_id: string; slot: string; epoch: number; generation: number; body: string; attempts: number; expires_ms: number | null }

const backOffMs = (attempts: number): number => Math.min(60_000, 1000 * 2 ** attempts)

/** Passes in one invocation: a rollout may have filled the outbox with more than one batch. */
const passesMax = 12

/**
 * Signs what is pending in the outbox and hands it to the broker. Reads and writes at most `dispatchBatchMax` rows a pass, and ends
 * when the outbox is empty or the broker takes nothing. Two that run at once, or one killed between publish and note, publish
 * twice: positions make that harmless (F50). Returns how many the broker has acknowledged.
 */
export async function dispatchDirectives(ctx: Ctx): Promise<number> {
  let acknowledged = 0
  for (let pass = 0; pass < passesMax; pass++) {
    const rows = await ctx.db.orm.all<PendingRow>(
      sql`SELECT site_id, slot, epoch, generation, body, attempts, expires_ms FROM directive WHERE pending = 1 AND due_ms <= ${ctx.nowMs} ORDER BY due_ms, site_id, generation LIMIT ${limits.dispatchBatchMax}`,
    )
    if (rows.length === 0) break
    const alive = rows.filter((row) => isAlive(ctx, row))
    const sent = alive.length === 0 ? new Set<string>() : await ctx.broker.publish(signed(ctx, alive))
    await note(ctx, rows, sent)
    acknowledged += sent.size
    if (sent.size === 0 || rows.length < limits.dispatchBatchMax) break
  }
  return acknowledged
}

const isAlive = (ctx: Ctx, row: PendingRow): boolean => row.expires_ms === null || row.expires_ms > ctx.nowMs

/** Signs one after the other while the broker takes them: those already signed travel meanwhile. */
async function* signed(ctx: Ctx, rows: readonly PendingRow[]): AsyncGenerator<OutgoingMessage> {
  for (const row of rows) {
    const { kind } = JSON.parse(row.body) as Directive
    const envelope = await signEnvelope(ctx.crypto, payloadTypes.directive, utf8(row.body), ctx.keys.fleetKey())
    yield { key: keyOf(row), topic: siteTopic(ctx.config.fleet, row.site_id as SiteId, kind), payload: utf8(JSON.stringify(envelope)), retain: kind === 'desired' }
  }
}

/** What was sent, or is too old, is pending no more; the rest is tried again, each time later. */
async function note(ctx: Ctx, rows: readonly PendingRow[], sent: ReadonlySet<string>): Promise<void> {
  const isDone = (row: PendingRow) => sent.has(keyOf(row)) || !isAlive(ctx, row)
  const later = rows.filter((row) => !isDone(row))
  const which = `FROM json_each(?) AS j WHERE directive.site_id = j.value->>0 AND directive.slot = j.value->>1 AND directive.epoch = j.value->>2 AND directive.generation = j.value->>3`
  const list = (some: readonly PendingRow[]) => JSON.stringify(some.map((row) => [row.site_id, row.slot, row.epoch, row.generation, ctx.nowMs + backOffMs(row.attempts)]))
  await ctx.db.write([
    { sql: `UPDATE directive SET pending = 0, sent_ms = ? ${which}`, args: [ctx.nowMs, list(rows.filter(isDone))] },
    { sql: `UPDATE directive SET attempts = attempts + 1, due_ms = j.value->>4 ${which}`, args: [list(later)] },
  ])
  if (later.length > 0) ctx.log.write('warn', 'directive.undelivered', { count: later.length, requestId: ctx.requestId })
}

const keyOf = (row: PendingRow): string => `${row.site_id}/${row.slot}/${row.epoch}/${row.generation}`
