import { createHash } from 'node:crypto'
import { createQueue } from './queue.ts'

/** An invariant of SPEC §6 that did not hold. */
export type Violation = { invariant: string; atMs: number; evidence: string }

/** Nobody ever answers: how a process that lost its power waits. */
export const never = <T = never>(): Promise<T> => new Promise<T>(() => undefined)

const recentMax = 60
/** More than that at one moment is a loop that waits for no time: to fail says more than to run for ever. */
const eventsAtOnceMax = 100_000

/**
 * Virtual time and the one order in which things happen. An event runs, then everything that it set going and that
 * does not wait for virtual time runs to its rest, then comes the next event, by time and then by when it was planned.
 */
export class World {
  nowMs: number
  readonly startMs: number
  readonly faults = new Map<string, number>()
  readonly recent: string[] = []
  events = 0
  violation: Violation | null = null
  /** Called when everything is at rest after an event. */
  atRest: (() => Promise<void>) | null = null
  private readonly queue = createQueue<{ label: string; run: () => unknown }>()
  private readonly hash = createHash('sha256')
  private readonly print: ((line: string) => void) | null
  private busy = 0
  private failure: { error: unknown } | null = null

  constructor(startMs: number, print: ((line: string) => void) | null = null) {
    this.startMs = startMs
    this.nowMs = startMs
    this.print = print
  }

  /** Plans an event, at a whole millisecond; never before now. */
  at(atMs: number, label: string, run: () => unknown): void {
    this.queue.push(Math.ceil(Math.max(atMs, this.nowMs)), { label, run })
  }

  /** A span of a billionth counts as a millisecond: added to a time it could be lost, and who sleeps for it would never wake later. */
  after(spanMs: number, label: string, run: () => unknown): void {
    this.at(this.nowMs + Math.ceil(Math.max(0, spanMs)), label, run)
  }

  /** Resolves after virtual time, or rejects with the signal's reason. */
  sleep(spanMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(signal!.reason as Error)
      signal?.addEventListener('abort', stop, { once: true })
      this.after(spanMs, 'wake', () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      })
    })
  }

  /** Work that may use the event loop for real (the database does): the next event waits for its end. */
  async track<T>(work: Promise<T>): Promise<T> {
    this.busy++
    try {
      return await work
    } finally {
      this.busy--
    }
  }

  /** Lets virtual time pass inside tracked work. */
  async pause(spanMs: number): Promise<void> {
    this.busy--
    await new Promise<void>((resolve) => this.after(spanMs, 'resume', () => {
      this.busy++
      resolve()
    }))
  }

  /** A line of the log that two runs of one seed must share. */
  note(line: string): void {
    const text = `${((this.nowMs - this.startMs) / 1000).toFixed(3)} ${line}`
    this.hash.update(`${text}\n`)
    this.recent.push(text)
    if (this.recent.length > recentMax) this.recent.shift()
    this.print?.(text)
  }

  fault(kind: string, detail = ''): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1)
    this.note(`! ${kind} ${detail}`)
  }

  /** The first counts: what follows it may follow from it. */
  violate(invariant: string, evidence: string): void {
    if (this.violation !== null) return
    this.violation = { invariant, atMs: this.nowMs, evidence }
    this.note(`VIOLATION ${invariant}: ${evidence}`)
  }

  /** A fault of the simulator itself. */
  fail(error: unknown): void {
    this.failure ??= { error }
  }

  /** Runs all events up to a moment, or to the first violation. */
  async run(untilMs: number): Promise<void> {
    let atOnce = 0
    for (let next = this.queue.peekMs(); next !== null && next <= untilMs && this.violation === null; next = this.queue.peekMs()) {
      const { atMs, item } = this.queue.pop()
      atOnce = atMs === this.nowMs ? atOnce + 1 : 0
      this.nowMs = atMs
      this.events++
      if (atOnce > eventsAtOnceMax) throw new Error(`time stands still at ${this.nowMs - this.startMs} ms: ${item.label}`)
      this.start(item)
      await this.rest()
      if (this.failure !== null) throw this.failure.error
    }
    if (this.violation === null) this.nowMs = Math.max(this.nowMs, untilMs)
  }

  /** What an event sets going may need virtual time itself, so its end is not waited for. */
  private start({ label, run }: { label: string; run: () => unknown }): void {
    const failed = (cause: unknown): void => this.fail(new Error(`event "${label}" failed`, { cause }))
    try {
      const result = run()
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  async rest(): Promise<void> {
    await this.drain()
    if (this.atRest === null) return
    await this.atRest()
    await this.drain()
  }

  private async drain(): Promise<void> {
    do await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.busy > 0)
  }

  traceHash(): string {
    return this.hash.copy().digest('hex').slice(0, 16)
  }
}
