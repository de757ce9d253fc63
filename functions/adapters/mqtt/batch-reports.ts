import type { BodyOf } from '../../../protocol/http/contract.ts'
import type { ingressContracts } from '../../../protocol/http/ingress.ts'
import { limits } from '../../../protocol/limits.ts'
import type { Log } from '../../ports/log.ts'
import { pause } from '../pause.ts'

/** One message of a site as the broker hands it over. */
export type IncomingMessage = { topic: string; payload: Uint8Array }
/** Why last wills may have been missed: whoever listens has just begun, or its broker was away for a moment or started anew. */
export type GapCause = NonNullable<BodyOf<typeof ingressContracts.ingest>['gap']>
/** Where reports go. Either call rejects when nothing was taken, and then comes again; being told twice changes nothing (SPEC I8). */
export interface ReportSink {
  take(messages: readonly IncomingMessage[]): Promise<unknown>
  /** From here on sites are `unknown` until their hello. */
  gap(cause: GapCause): Promise<unknown>
}
/** What listens on the controller's behalf. After each start and each reconnect it tells of the gap, and then asks all agents for a hello. */
export interface ReportSubscriber {
  /** Resolves once it listens for the first time; until then, and from then on, it connects again by itself. */
  start(): Promise<void>
  /** What the sink has not taken by then stays unacknowledged. */
  stop(): Promise<void>
}

export type ReportBatcher = {
  /** Resolves once the sink has taken the message; rejects when it was stopped before, or when too much is waiting. */
  add(message: IncomingMessage): Promise<void>
  /** Whether the sink was told of the gap; false when `signal` or the end came first. */
  gap(cause: GapCause, signal?: AbortSignal): Promise<boolean>
  stop(): Promise<void>
}

type Waiting = { message: IncomingMessage; taken: () => void; refused: (error: Error) => void }

/** How long a message waits for company where the sink is in the same process. */
const companyMsDefault = 20
const retryMs = { base: 250, max: 15_000 }
/** So that a batch, in base64 and with its topics, fits into one request to the controller. */
const batchBytesMax = limits.ingestBodyBytesMax / 2
const waitingMax = 20 * limits.ingestBatchMax
const waitingBytesMax = 16 * batchBytesMax

/** Gathers messages for a moment and hands them on in batches, one at a time and in order; a sink that fails gets its batch again, with growing pauses. */
export function createReportBatcher(options: { sink: ReportSink; log: Log; companyMs?: number }): ReportBatcher {
  const { sink, log, companyMs = companyMsDefault } = options
  let waiting: Waiting[] = []
  let waitingBytes = 0
  let running: Promise<void> | null = null
  const stopped = new AbortController()

  async function untilTaken(give: () => Promise<unknown>, facts: Record<string, unknown>, signal: AbortSignal): Promise<boolean> {
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        await give()
        return true
      } catch (error) {
        log.write('warn', 'reports.sink-failed', { tries, ...facts, detail: error instanceof Error ? error.message : String(error) })
        await pause(Math.random() * Math.min(retryMs.max, retryMs.base * 2 ** Math.min(tries - 1, 20)), signal)
      }
    }
    return false
  }

  async function run(): Promise<void> {
    if (waiting.length < limits.ingestBatchMax) await pause(companyMs, stopped.signal)
    while (waiting.length > 0 && !stopped.signal.aborted) {
      const batch = waiting.splice(0, sizeOfBatch(waiting))
      const messages = batch.map(({ message }) => message)
      waitingBytes -= bytesOf(messages)
      const isTaken = await untilTaken(() => sink.take(messages), { messages: batch.length }, stopped.signal)
      for (const entry of batch) isTaken ? entry.taken() : entry.refused(new Error('the subscriber was stopped'))
    }
    running = null
  }

  return {
    add: (message) =>
      new Promise((taken, refused) => {
        if (stopped.signal.aborted) return refused(new Error('the subscriber was stopped'))
        if (waiting.length >= waitingMax || waitingBytes >= waitingBytesMax) return refused(new Error('too many reports are waiting for the controller'))
        waiting.push({ message, taken, refused })
        waitingBytes += message.payload.length
        running ??= run()
      }),
    gap: (cause, signal) => untilTaken(() => sink.gap(cause), { gap: cause }, signal === undefined ? stopped.signal : AbortSignal.any([signal, stopped.signal])),
    async stop() {
      stopped.abort()
      await running
      for (const { refused } of waiting) refused(new Error('the subscriber was stopped'))
      waiting = []
    },
  }
}

const bytesOf = (messages: readonly IncomingMessage[]): number => messages.reduce((sum, { payload }) => sum + payload.length, 0)

/** How many of the messages that wait go together: at least one, at most a batch in number and in bytes. */
function sizeOfBatch(waiting: readonly Waiting[]): number {
  let bytes = 0
  const end = waiting.findIndex(({ message }, i) => i >= limits.ingestBatchMax || ((bytes += message.payload.length) > batchBytesMax && i > 0))
  return end < 0 ? waiting.length : end
}
