import type { Command, Directive, Grant, RejectReason } from '../../protocol/directives.ts'
import { comparePositions, type FleetId, type Position, type SiteId } from '../../protocol/ids.ts'
import { heldPositions, type HeldState } from '../held/state.ts'
import { isLive, type JournalRecord } from '../journal/record.ts'

export type Identity = { fleet: FleetId; site: SiteId; incarnation: number }

/** What this boot knows about time. `sinceHelloMs` is monotonic, null before the first hello; `synchronised` is null where nothing can tell. */
export type ClockFacts = { nowMs: number; floorMs: number; synchronised: boolean | null; bootId: string; sinceHelloMs: number | null }

/**
 * `wait`: accepted, and nothing begins before its desired comes. `repeat`: held already, changes nothing.
 */
export type Verdict = { kind: 'accept' } | { kind: 'wait' } | { kind: 'repeat' } | { kind: 'refuse'; reason: RejectReason; detail: string }

const refuse = (reason: RejectReason, detail: string): Verdict => ({ kind: 'refuse', reason, detail })

export const clockTrusted = (clock: Pick<ClockFacts, 'nowMs' | 'floorMs' | 'synchronised'>): boolean => clock.nowMs >= clock.floorMs && clock.synchronised !== false

/** What a permission with an end says about its life. */
export type Life = { issuedAtMs: number; endsAtMs: number; bootId: string | null }
export const lifeOfGrant = (grant: Pick<Grant, 'issuedAtMs' | 'startByMs' | 'bootId'>): Life => ({ issuedAtMs: grant.issuedAtMs, endsAtMs: grant.startByMs, bootId: grant.bootId })
const lifeOfCommand = (command: Command): Life => ({ issuedAtMs: command.issuedAtMs, endsAtMs: command.expiresAtMs, bootId: command.bootId })

/** Step 5 of SPEC §3.1: null while it lives. A clock that is not trusted counts from this boot's own hello (F30). */
export function judgeLife(life: Life, clock: ClockFacts): { reason: RejectReason; detail: string } | null {
  if (clockTrusted({ ...clock, floorMs: Math.max(clock.floorMs, life.issuedAtMs) })) {
    return clock.nowMs <= life.endsAtMs ? null : { reason: 'expired', detail: `it ended ${clock.nowMs - life.endsAtMs} ms ago` }
  }
  if (life.bootId === null || clock.sinceHelloMs === null) return { reason: 'clock-untrusted', detail: 'the clock of this site is not right, and nothing else bounds the life of this' }
  if (life.bootId !== clock.bootId) return { reason: 'wrong-boot', detail: 'it is for another boot, and the clock of this site is not right' }
  return clock.sinceHelloMs < life.endsAtMs - life.issuedAtMs ? null : { reason: 'expired', detail: `${Math.round(clock.sinceHelloMs)} ms have passed since the hello of this boot` }
}

const show = (position: Position): string => `(${position.epoch}, ${position.generation})`

/**
 * What to do with a directive whose signature and form are right: steps 1 to 6 of SPEC §3.1 in their order. The first
 * refusal counts. Pure.
 */
export function judge(directive: Directive, retained: boolean, held: HeldState, clock: ClockFacts, identity: Identity, journal: JournalRecord | null): Verdict {
  if (directive.fleet !== identity.fleet || directive.site !== identity.site || directive.incarnation !== identity.incarnation) {
    return refuse('wrong-site', `it is for ${directive.fleet}/${directive.site}, incarnation ${directive.incarnation}; this is ${identity.fleet}/${identity.site}, incarnation ${identity.incarnation}`)
  }
  if (retained && directive.kind !== 'desired') return refuse('retained', `a ${directive.kind} is never retained (F38)`)
  const newest = heldPositions(held)[directive.kind]
  const order = newest === null ? 1 : comparePositions(directive.position, newest)
  if (order < 0) return refuse('stale', `${show(directive.position)} is older than ${show(newest!)}`)
  if (order === 0) return { kind: 'repeat' }
  switch (directive.kind) {
    case 'desired':
      return { kind: 'accept' }
    case 'command': {
      const dead = judgeLife(lifeOfCommand(directive), clock)
      return dead === null ? { kind: 'accept' } : refuse(dead.reason, dead.detail)
    }
    case 'grant':
      return judgeGrant(directive, held, clock, journal)
  }
}

function judgeGrant(grant: Grant, held: HeldState, clock: ClockFacts, journal: JournalRecord | null): Verdict {
  // Before its life: saying "expired" about an attempt that was made would make the controller believe it was not.
  if (journal !== null && journal.deployment === grant.deployment && grant.attempt <= journal.attempt) {
    if (grant.attempt === journal.attempt && isLive(journal)) return { kind: 'repeat' }
    return refuse('already-done', `attempt ${grant.attempt} has ended here; ${journal.attempt} is the newest: ${journal.outcome ?? journal.phase}`)
  }
  const dead = judgeLife(lifeOfGrant(grant), clock)
  if (dead !== null) return refuse(dead.reason, dead.detail)
  // the controller has been told that it did not start, and may have given its place to another (I6, I7)
  if (held.grantRefused !== null && comparePositions(grant.position, held.grantRefused) <= 0) return refuse('expired', 'it was refused when it first came')
  const order = held.desired === null ? 1 : comparePositions(grant.desired, held.desired.position)
  if (order < 0) return refuse('stale', `it permits the desired ${show(grant.desired)}, which ${show(held.desired!.position)} has replaced`)
  if (order > 0) return { kind: 'wait' }
  if (held.desired!.release === null) return refuse('unknown-desired', 'the desired it permits wants nothing changed')
  if (held.desired!.deployment !== grant.deployment) return refuse('unknown-deployment', `the desired it permits belongs to ${held.desired!.deployment ?? 'no deployment'}`)
  return { kind: 'accept' }
}
