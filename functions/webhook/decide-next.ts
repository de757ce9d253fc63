/** A message that waits, as far as its turn depends on it. */
export type QueuedMessage = { seq: number; orderKeys: readonly number[]; dueMs: number; leasedUntilMs: number }
/** An endpoint, as far as it says how much may be sent to it. */
export type Pace = { failures: number; holdUntilMs: number; pacedUntilMs: number; perSecond: number }
/** What to send now, and up to when that uses up the endpoint's rate. `waitMs`: only the rate keeps more from going; after so long it does not. */
export type Next = { take: QueuedMessage[]; pacedUntilMs: number; waitMs: number | null }

/** Failed rounds in a row after which an endpoint counts as failing: it is asked with one message at a time. */
export const failingRounds = 3
/** Messages under way to one endpoint at the same time. */
const inFlightMax = 5
/** When nothing is due at an endpoint that fails, one message asks so long after it may be asked again: its next attempt can be hours away, and the endpoint back. */
const probeMs = 10 * 60_000

/** How far apart messages go on average. */
const stepMsOf = (pace: Pace): number => 1000 / pace.perSecond

/** How many messages the endpoint's rate, an average, lets go now: after a pause as many at once as one second allows, or one. */
export function allowedNow(pace: Pace, nowMs: number): number {
  const stepMs = stepMsOf(pace)
  return Math.floor((nowMs + Math.max(1000, stepMs) - Math.max(pace.pacedUntilMs, nowMs)) / stepMs)
}

/**
 * Whose turn it is: `queue` has the oldest messages that wait, in their order. A message goes when it is due, nobody else has it, and no earlier one with an order key of
 * its own waits. No more go than the rate allows, and no more than `takeMax`.
 */
export function decideNext(queue: readonly QueuedMessage[], pace: Pace, nowMs: number, takeMax = Number.POSITIVE_INFINITY): Next {
  const fails = pace.failures >= failingRounds
  const open: QueuedMessage[] = []
  const ahead = new Set<number>()
  for (const message of queue) {
    const free = !message.orderKeys.some((key) => ahead.has(key))
    for (const key of message.orderKeys) ahead.add(key)
    if (free && message.leasedUntilMs <= nowMs) open.push(message)
  }
  const due = open.filter(({ dueMs }) => dueMs <= nowMs)
  const ready = due.length === 0 && fails && pace.holdUntilMs + probeMs <= nowMs ? open.sort((a, b) => a.dueMs - b.dueMs) : due
  const stepMs = stepMsOf(pace)
  const fromMs = Math.max(pace.pacedUntilMs, nowMs)
  const inFlight = queue.filter(({ leasedUntilMs }) => leasedUntilMs > nowMs).length
  const room = pace.holdUntilMs > nowMs ? 0 : Math.min(ready.length, (fails ? 1 : inFlightMax) - inFlight, takeMax)
  const take = ready.slice(0, Math.max(0, Math.min(room, allowedNow(pace, nowMs))))
  return {
    take, pacedUntilMs: Math.ceil(fromMs + take.length * stepMs),
    waitMs: room > 0 && take.length === 0 ? Math.ceil(fromMs + stepMs - nowMs - Math.max(1000, stepMs)) : null,
  }
}
