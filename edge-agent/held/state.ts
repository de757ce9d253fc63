import * as z from 'zod'
import { Command, CommandBody, Desired, Grant, type Directive } from '../../protocol/directives.ts'
import { comparePositions, Digest, Position, ReleaseRef, TimeMs } from '../../protocol/ids.ts'
import { assertNever } from '../../protocol/result.ts'

/** Releases a site may be sent back to (SPEC I4); older ones are forgotten. */
export const historyMax = 32

/** What an abort came to; said again when the abort comes again. */
export const CommandAnswer = z.strictObject({ result: z.enum(['done', 'refused', 'nothing-to-do']), detail: z.string() })
export type CommandAnswer = z.infer<typeof CommandAnswer>

const AbortBody = CommandBody.options[0]
export const AbortCommand = Command.extend({ body: AbortBody })
export type AbortCommand = z.infer<typeof AbortCommand>

/**
 * All that a site holds between two starts of its agent, besides its identity and the attempt in its journal. Written
 * before it is acted upon. The newest desired and grant are kept whole, and so is the newest abort, until and after it is
 * answered: a hello that comes after it must not make it forgotten.
 *
 * It outlives a change of the agent's version like the journal's record. A directive that a newer version took in and this
 * one cannot read is as if it had not come: the next hello shows that it is not held, and it is sent again.
 */
export const HeldState = z.object({
  v: z.literal(1),
  incarnation: z.int().positive(),
  desired: Desired.nullable().catch(null),
  grant: Grant.nullable().catch(null),
  /** Of the newest grant that was refused for its life: a late copy of it is refused again, whatever the clock says by then. */
  grantRefused: Position.nullable().default(null),
  abort: z.object({ command: AbortCommand, answer: CommandAnswer.nullable() }).nullable().catch(null),
  /** Of the newest command, abort or not. */
  commandPosition: Position.nullable(),
  /** `issuedAtMs` of the newest verified directive: the wall clock cannot be right before it (F30). */
  timeFloorMs: TimeMs,
  /** No report of an earlier life has a `seq` above this. */
  seqCeiling: z.int().nonnegative(),
  running: ReleaseRef.nullable(),
  previous: ReleaseRef.nullable(),
  /** Committed releases, oldest first, each once. */
  history: z.array(ReleaseRef).max(historyMax),
  /** The release whose bytes are all here, ahead of its start. */
  staged: Digest.nullable(),
  /** The newest protocol version that the controller said it speaks (SPEC §3.4). */
  protocolTold: z.int().positive().default(1),
})
export type HeldState = z.infer<typeof HeldState>

/** What a site holds at first, or after it was enrolled again: its releases stay, all that was said to the old incarnation goes. */
export const freshState = (incarnation: number, earlier: HeldState | null): HeldState => ({
  v: 1, incarnation, desired: null, grant: null, grantRefused: null, abort: null, commandPosition: null, timeFloorMs: earlier?.timeFloorMs ?? 0, seqCeiling: 0,
  running: earlier?.running ?? null, previous: earlier?.previous ?? null, history: earlier?.history ?? [], staged: earlier?.staged ?? null, protocolTold: 1,
})

/** The position of the newest accepted directive of each kind. */
export const heldPositions = (held: HeldState): Record<Directive['kind'], Position | null> => ({
  desired: held.desired?.position ?? null, grant: held.grant?.position ?? null, command: held.commandPosition,
})

/** The newest position of any kind, or null. */
export const newestPosition = (held: HeldState): Position | null =>
  Object.values(heldPositions(held)).reduce((newest, position) => (position !== null && (newest === null || comparePositions(position, newest) > 0) ? position : newest), null)

/** Holding a directive that was accepted. */
export function hold(held: HeldState, directive: Directive): HeldState {
  switch (directive.kind) {
    case 'desired': return { ...held, desired: directive }
    case 'grant': return { ...held, grant: directive }
    case 'command': {
      const { body } = directive
      return { ...held, commandPosition: directive.position, abort: body.type === 'abort' ? { command: { ...directive, body }, answer: null } : held.abort }
    }
    default: return assertNever(directive)
  }
}

/** Remembers that a grant was refused for its life. */
export const holdRefusal = (held: HeldState, position: Position): HeldState =>
  held.grantRefused !== null && comparePositions(held.grantRefused, position) >= 0 ? held : { ...held, grantRefused: position }

/** A release that was committed; the same again changes nothing, so a commit can be repeated. */
export function commitRelease(held: HeldState, from: ReleaseRef | null, to: ReleaseRef): HeldState {
  const history = [...held.history.filter((release) => release.digest !== to.digest), to].slice(-historyMax)
  const stillWanted = held.staged !== to.digest && held.staged === held.desired?.release?.digest
  return { ...held, running: to, previous: from, history, staged: stillWanted ? held.staged : null }
}
