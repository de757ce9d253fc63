import type { Ctx } from '../context.ts'
import { entriesAfter, genesis, sealOf, type ChainHead } from './chain.ts'
import { loadHead } from './seal.ts'

export type AuditVerdict = { ok: true; head: ChainHead } | { ok: false; seq: number; fault: 'missing' | 'changed' | 'unsealed' | 'checkpoint' }

/**
 * Walks the whole chain and finds the first entry that was edited, deleted, inserted or moved (F74). Sequence numbers have
 * no gaps, since a batch that fails gives its number back. `checkpoint` is a head that was noted elsewhere (the log): with
 * it a database whose owner computed the chain anew, or that was restored to an earlier state, is found too.
 */
export async function verifyAudit(ctx: Pick<Ctx, 'db' | 'crypto'>, checkpoint?: ChainHead): Promise<AuditVerdict> {
  const head = await loadHead(ctx)
  if (checkpoint !== undefined && checkpoint.seq > head.seq) return { ok: false, seq: checkpoint.seq, fault: 'checkpoint' }
  let last = genesis
  for (let entries = await entriesAfter(ctx, 0); last.seq < head.seq; entries = await entriesAfter(ctx, last.seq)) {
    if (entries.length === 0) return { ok: false, seq: last.seq + 1, fault: 'missing' }
    for (const entry of entries.filter(({ seq }) => seq <= head.seq)) {
      if (entry.seq !== last.seq + 1) return { ok: false, seq: last.seq + 1, fault: 'missing' }
      if (entry.seal === null) return { ok: false, seq: entry.seq, fault: 'unsealed' }
      if (entry.seal !== (await sealOf(ctx, last.seal, entry))) return { ok: false, seq: entry.seq, fault: 'changed' }
      if (entry.seq === checkpoint?.seq && entry.seal !== checkpoint.seal) return { ok: false, seq: entry.seq, fault: 'checkpoint' }
      last = { seq: entry.seq, seal: entry.seal }
    }
  }
  return last.seal === head.seal ? { ok: true, head } : { ok: false, seq: head.seq, fault: 'changed' }
}
