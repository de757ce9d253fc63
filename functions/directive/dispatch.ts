import { sql } from 'drizzle-orm'
import { utf8 } from '../../protocol/bytes.ts'
import type { Directive } from '../../protocol/directives.ts'
import { payloadTypes, signEnvelope } from '../../protocol/envelope.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { controllerProtocols, protocolsOf, standingOf } from '../../protocol/protocol-versions.ts'
import { siteTopic } from '../../protocol/topics.ts'
import type { Ctx } from '../context.ts'
import type { OutgoingMessage } from '../ports/broker.ts'

type PendingRow = { due_ms: number; site_id: string; slot: string; epoch: number; generation: number; body: string; attempts: number; expires_ms: number | null; protocol_min: number | null; protocol_max: number | null }

const backOffMs = (attempts: number): number => Math.min(60_000, 1000 * 2 ** attempts)

/** Batches in one invocation: a rollout may have filled the outbox with more than one. */
const batchesMax = 12

/**
 * Signs what is pending in the outbox and hands it to the broker, all in one call, which on Workers is one connection. Reads and writes
 * at most `batchesMax` batches of `dispatchBatchMax` rows, a round trip for each, and no more than the broker can publish in one invocation: the next one goes on. Two that run at once, or one killed between publish
 * and note, publish twice: positions make that harmless (F50). Returns how many the broker has acknowledged.
 */
export async function dispatchDirectives(ctx: Ctx): Promise<number> {
  const rows = await readPending(ctx)
  const wanted = rows.filter((row) => isWanted(ctx, row))
  const sent = wanted.length === 0 ? new Set<string>() : await ctx.broker.publish(signed(ctx, wanted))
  for (let i = 0; i < rows.length; i += limits.dispatchBatchMax) await note(ctx, rows.slice(i, i + limits.dispatchBatchMax), sent)
  return sent.size
}

/** The oldest rows of the outbox, batch by batch. */
async function readPending(ctx: Ctx): Promise<PendingRow[]> {
  const rows: PendingRow[] = []
  for (let batch = 0; batch < batchesMax; batch++) {
    const last = rows.at(-1)
    const after = last === undefined ? sql`` : sql`AND (d.due_ms, d.site_id, d.generation, d.slot) > (${last.due_ms}, ${last.site_id}, ${last.generation}, ${last.slot})`
    const most = Math.min(limits.dispatchBatchMax, (ctx.broker.messagesMax ?? Number.POSITIVE_INFINITY) - rows.length)
    const found = await ctx.db.orm.all<PendingRow>(
      sql`SELECT d.due_ms, d.site_id, d.slot, d.epoch, d.generation, d.body, d.attempts, d.expires_ms, s.protocol_min, s.protocol_max
        FROM directive d LEFT JOIN site s ON s.id = d.site_id WHERE d.pending = 1 AND d.due_ms <= ${ctx.nowMs} ${after} ORDER BY d.due_ms, d.site_id, d.generation, d.slot LIMIT ${most}`,
    )
    rows.push(...found)
    if (found.length < limits.dispatchBatchMax) break
  }
  return rows
}

/** Neither too old, nor for an agent that has no protocol version in common with us: its next hello brings back what it then lacks. */
const isWanted = (ctx: Ctx, row: PendingRow): boolean => (row.expires_ms === null || row.expires_ms > ctx.nowMs) && isUnderstood(row)

function isUnderstood(row: PendingRow): boolean {
  const agent = protocolsOf({ protocolMin: row.protocol_min, protocolMax: row.protocol_max })
  return agent === null || standingOf(agent, controllerProtocols) === 'ok'
}

/** Signs one after the other while the broker takes them: those already signed travel meanwhile. */
async function* signed(ctx: Ctx, rows: readonly PendingRow[]): AsyncGenerator<OutgoingMessage> {
  for (const row of rows) {
    const { kind } = JSON.parse(row.body) as Directive
    const envelope = await signEnvelope(ctx.crypto, payloadTypes.directive, utf8(row.body), ctx.keys.fleetKey())
    yield { key: keyOf(row), topic: siteTopic(ctx.config.fleet, row.site_id as SiteId, kind), payload: utf8(JSON.stringify(envelope)), retain: kind === 'desired' }
  }
}

/** What was sent, or is not wanted, is pending no more; the rest is tried again, each time later. */
async function note(ctx: Ctx, rows: readonly PendingRow[], sent: ReadonlySet<string>): Promise<void> {
  const isDone = (row: PendingRow) => sent.has(keyOf(row)) || !isWanted(ctx, row)
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
