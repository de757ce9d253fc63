import { limits } from '../../../protocol/limits.ts'
import type { Log } from '../../ports/log.ts'

/** One message of a site as the broker hands it over. */
export type IncomingMessage = { topic: string; payload: Uint8Array }
/** Takes a batch, or rejects: then it gets the same batch again. Taking one twice changes nothing (SPEC I8). */
export type ReportSink = (messages: readonly IncomingMessage[]) => Promise<unknown>
/** What listens on the controller's behalf. After each start and each reconnect it asks all agents for a hello. */
export interface ReportSubscriber {
  /** Resolves once it listens for the first time; until then, and from then on, it connects again by itself. */
  start(): Promise<void>
  /** What the sink has not taken by then stays unacknowledged. */
  stop(): Promise<void>
}

export type ReportBatcher = {
  /** Resolves once the sink has taken the message; rejects when it was stopped before, or when too much is waiting. */
  add(message: IncomingMessage): Promise<void>
  stop(): Promise<void>
}

type Waiting = { message: IncomingMessage; taken: () => void; refused: (error: Error) => void }

const waitMs = 20
const retryMs = { base: 250, max: 15_000 }
/** So that a batch, in base64 and with its topics, fits into one request to the controller. */
const batchBytesMax = limits.ingestBodyBytesMax / 2
const waitingMax = 20 * limits.ingestBatchMax

/** Gathers messages for a moment and hands them on in batches, one at a time and in order; a sink that fails gets its batch again, with growing pauses. */
export function createReportBatcher(options: { sink: ReportSink; log: Log }): ReportBatcher {
  const { sink, log } = options
  let waiting: Waiting[] = []
  let running: Promise<void> | null = null
  const stopped = new AbortController()

  const sleep = (spanMs: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, spanMs)
      stopped.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
    })

  async function hand(batch: readonly IncomingMessage[]): Promise<boolean> {
    for (let tries = 1; !stopped.signal.aborted; tries++) {
      try {
        await sink(batch)
        return true
      } catch (error) {
        log.write('warn', 'reports.sink-failed', { tries, messages: batch.length, detail: error instanceof Error ? error.message : String(error) })
        await sleep(Math.random() * Math.min(retryMs.max, retryMs.base * 2 ** Math.min(tries - 1, 20)))
      }
    }
    return false
  }

  async function run(): Promise<void> {
    if (waiting.length < limits.ingestBatchMax) await sleep(waitMs)
    while (waiting.length > 0 && !stopped.signal.aborted) {
      const batch = waiting.splice(0, sizeOfBatch(waiting))
      const taken = await hand(batch.map(({ message }) => message))
      for (const entry of batch) taken ? entry.taken() : entry.refused(new Error('the subscriber was stopped'))
    }
    running = null
  }

  return {
    add: (message) =>
      new Promise((taken, refused) => {
        if (stopped.signal.aborted) return refused(new Error('the subscriber was stopped'))
        if (waiting.length >= waitingMax) return refused(new Error('too many reports are waiting for the controller'))
        waiting.push({ message, taken, refused })
        running ??= run()
      }),
    async stop() {
      stopped.abort()
      await running
      for (const { refused } of waiting) refused(new Error('the subscriber was stopped'))
      waiting = []
    },
  }
}

/** How many of the messages that wait go together: at least one, at most a batch in number and in bytes. */
function sizeOfBatch(waiting: readonly Waiting[]): number {
  let bytes = 0
  const end = waiting.findIndex(({ message }, i) => i >= limits.ingestBatchMax || ((bytes += message.payload.length) > batchBytesMax && i > 0))
  return end < 0 ? waiting.length : end
}
