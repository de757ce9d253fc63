import { utf8 } from '../../protocol/bytes.ts'
import type { FleetEvent } from '../../protocol/events.ts'
import { limits } from '../../protocol/limits.ts'

/** A message that waits, and that nobody has tried yet. */
export type OpenMessage = { seq: number; events: FleetEvent[] }
/** What waits for an endpoint: how many messages (no more than one beyond `singlesMax` are counted), the newest if it is open, and open ones by what they are about. */
export type Queue = { waiting: number; newest: OpenMessage | null; bySubject: ReadonlyMap<string, OpenMessage> }
/** Open messages with what they now carry, and the events of new ones. */
export type Coalesced = { changed: OpenMessage[]; made: FleetEvent[][] }

/** While no more than this many messages wait for an endpoint, each event is a message of its own. */
export const singlesMax = 5
/** What a body has around its events, and what it adds to each. */
const wrappingBytes = 600
const additionBytes = 64

const bytesOf = (events: readonly FleetEvent[]): number => events.reduce((sum, event) => sum + utf8(JSON.stringify(event)).length + additionBytes, wrappingBytes)

/** Puts new events into messages, in their order: one by one as long as the endpoint keeps up, then together. None is lost. */
export function coalesce(events: readonly FleetEvent[], queue: Queue, eventsMax: number): Coalesced {
  return eventsMax === 1 ? replaceStates(events, queue) : appendEvents(events, queue, eventsMax)
}

function appendEvents(events: readonly FleetEvent[], queue: Queue, eventsMax: number): Coalesced {
  const made: FleetEvent[][] = []
  const newest = queue.newest === null ? null : { seq: queue.newest.seq, events: [...queue.newest.events] }
  let open = newest?.events ?? null
  let bytes = bytesOf(open ?? [])
  for (const event of events) {
    const more = bytesOf([event]) - wrappingBytes
    if (open !== null && queue.waiting + made.length > singlesMax && open.length < eventsMax && bytes + more <= limits.webhookBodyBytesMax) {
      open.push(event)
      bytes += more
    } else {
      made.push((open = [event]))
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
