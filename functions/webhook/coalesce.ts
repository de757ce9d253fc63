import { utf8 } from '../../protocol/bytes.ts'
import type { FleetEvent } from '../../protocol/events.ts'
import { limits } from '../../protocol/limits.ts'
import type { QueuedMessage } from './decide-next.ts'
import { hashOf } from './hash.ts'

/** A message that waits, and that nobody has tried yet. */
export type OpenMessage = { seq: number; events: FleetEvent[] }
/**
 * What waits for an endpoint: the oldest messages (no more than one beyond `singlesMax`), how many new ones its rate would let go at once besides them, the newest if it is
 * open, and open ones by what they are about.
 */
export type Queue = { oldest: readonly Pick<QueuedMessage, 'seq' | 'orderKeys'>[]; room: number; newest: OpenMessage | null; bySubject: ReadonlyMap<string, OpenMessage> }
/** Open messages with what they now carry, and the events of new ones. */
export type Coalesced = { changed: OpenMessage[]; made: FleetEvent[][] }

/** While no more than this many messages wait for an endpoint, and its rate lets all of them go now, each event is a message of its own. */
export const singlesMax = 5
/** What a body has around its events, and what it adds to each. */
const wrappingBytes = 600
const additionBytes = 64

const bytesOf = (events: readonly FleetEvent[]): number => events.reduce((sum, event) => sum + utf8(JSON.stringify(event)).length + additionBytes, wrappingBytes)

/** Puts new events into messages, in their order: one by one as long as the endpoint and its rate keep up, then together. None is lost. */
export function coalesce(events: readonly FleetEvent[], queue: Queue, eventsMax: number): Coalesced {
  return eventsMax === 1 ? replaceStates(events, queue) : appendEvents(events, queue, eventsMax)
}

/**
 * An event that would only wait for the rate is told sooner together with the one before it; but not where either waits for an earlier message about the same: what
 * is not accepted delays nothing else. When many messages wait, all new events go together.
 */
function appendEvents(events: readonly FleetEvent[], queue: Queue, eventsMax: number): Coalesced {
  const made: FleetEvent[][] = []
  const newest = queue.newest === null ? null : { seq: queue.newest.seq, events: [...queue.newest.events] }
  const ahead = new Set(queue.oldest.filter(({ seq }) => seq !== newest?.seq).flatMap(({ orderKeys }) => orderKeys))
  const isFree = (event: FleetEvent): boolean => !ahead.has(hashOf(event.subject))
  let open = newest?.events ?? null
  let openIsFree = newest?.events.every(isFree) ?? false
  let bytes = bytesOf(open ?? [])
  for (const event of events) {
    const more = bytesOf([event]) - wrappingBytes
    const together = queue.oldest.length + made.length > singlesMax || (made.length >= queue.room && openIsFree && isFree(event))
    if (open !== null && together && open.length < eventsMax && bytes + more <= limits.webhookBodyBytesMax) {
      open.push(event)
      bytes += more
    } else {
      made.push((open = [event]))
      openIsFree = isFree(event)
      bytes = wrappingBytes + more
    }
  }
  return { changed: newest !== null && newest.events.length > queue.newest!.events.length ? [newest] : [], made }
}

/** For receivers that take one event at a time and keep one state an alarm: the newest takes the place of one that nobody has been told. */
function replaceStates(events: readonly FleetEvent[], queue: Queue): Coalesced {
  const changed = new Map<string, OpenMessage>()
  const made = new Map<string, FleetEvent[]>()
  for (const event of events) {
    const open = queue.bySubject.get(event.subject)
    if (!event.subject.startsWith('alarm/')) made.set(event.id, [event])
    else if (open !== undefined) changed.set(event.subject, { seq: open.seq, events: [event] })
    else made.set(event.subject, [event])
  }
  return { changed: [...changed.values()], made: [...made.values()] }
}
