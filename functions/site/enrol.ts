import { eq } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { site, type SiteRow } from '../../db/schema/fleet.ts'
import { equalBytes, fromBase64, utf8 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { enrolmentProof, type Enrolment } from '../../protocol/http/agent.ts'
import type { agentContracts } from '../../protocol/http/agent.ts'
import type { BodyOf } from '../../protocol/http/contract.ts'
import { recordEvents } from '../audit/record.ts'
import { hashSecret } from '../auth/secret.ts'
import type { Ctx } from '../context.ts'
import { loadEpoch, nextIncarnation } from '../restore/epoch.ts'
import { siteJoined } from '../rollout/join.ts'
import { enrolmentOf } from './enrolment.ts'

type Request = BodyOf<typeof agentContracts.enrol>

/** One answer for every wrong claim, so that it tells nobody which sites exist and which claims were used (F75). */
const refused = (): FleetError => new FleetError('unauthenticated', 'the claim is wrong, used or expired; ask an operator for a new one', { reason: 'claim' })

/**
 * Binds an agent's key to a site. A claim works once: afterwards its row holds the hash of claim *and* key, so that only
 * the key that used it may ask again, for an answer that was lost on the way. Every use but that begins a new
 * incarnation, which fences the agent before it (F31). Throws `unauthenticated`, `unprocessable` for a wrong proof.
 */
export async function enrol(ctx: Ctx, request: Request): Promise<Enrolment> {
  const { site: id, claim, publicKey } = request
  const [row] = await ctx.db.orm.select().from(site).where(eq(site.id, id))
  const [unused, used] = await Promise.all([hashSecret(ctx.crypto, claim), hashSecret(ctx.crypto, `${claim}\n${publicKey}`)])
  const proven = await checkProof(ctx, request)
  const held = (row?.claimExpiresMs ?? 0) > ctx.nowMs ? (row?.claimHash ?? '') : ''
  const [first, again] = [unused, used].map((hash) => equalBytes(utf8(hash), utf8(held)))
  if (row === undefined || !(first || again)) throw refused()
  if (!proven) throw new FleetError('unprocessable', 'the proof is not a signature of this request by this public key', { reason: 'bad-proof' })
  const agent: Ctx = { ...ctx, actor: { name: `site:${id}`, role: 'agent' } }
  if (again) return enrolmentOf(agent, id, row.incarnation)
  // the broker first: if it fails, the claim is still good
  const incarnation = nextIncarnation(row.incarnation, await loadEpoch(ctx))
  const enrolment = await enrolmentOf(agent, id, incarnation)
  await bindKey(agent, row, request, { incarnation, unused, used })
  await siteJoined(agent, id)
  return enrolment
}

async function checkProof(ctx: Ctx, { site: id, claim, publicKey, proof }: Request): Promise<boolean> {
  return ctx.crypto.verify(fromBase64(publicKey), utf8(enrolmentProof(id, claim, publicKey)), fromBase64(proof))
}

/** What the new agent says counts from its first report on: the sequence numbers of the one before mean nothing. */
async function bindKey(ctx: Ctx, row: SiteRow, request: Request, { incarnation, unused, used }: { incarnation: number; unused: string; used: string }): Promise<void> {
  const bound = {
    state: 'enrolled' as const, incarnation, publicKey: request.publicKey, claimHash: used, agentVersion: request.agentVersion,
    presence: 'unknown' as const, lastSeenMs: ctx.nowMs, connectionId: null, bootId: null, held: null, staged: null, helloSeq: 0, runningSeq: 0, inventorySeq: 0,
    // what the agent before ran may be gone with its machine: the first hello says
    running: null, previous: null, attempt: null, nodes: [], monitoringChecked: 0, monitoringHeld: null,
  }
  const event = {
    action: 'site.enrolled', entity: `site/${row.id}`, siteId: row.id, why: `a claim was used by an agent of version ${request.agentVersion}`,
    detail: { incarnation: bound.incarnation, publicKey: request.publicKey },
  }
  const statements = [
    statement(ctx.db.orm.update(site).set(bound).where(eq(site.id, row.id))),
    recordEvents(ctx, [event]),
  ]
  try {
    await ctx.db.write(statements, [{ sql: 'SELECT claim_hash FROM site WHERE id = ?', args: [row.id], is: unused }])
  } catch (error) {
    if (error instanceof GuardLost) throw refused()
    throw error
  }
}
