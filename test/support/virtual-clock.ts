import type { Clock } from '../../edge-agent/host/host.ts'

type Timer = { atMs: number; resolve: () => void }

/** Lets everything run that does not wait for time. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A clock that stands still until it is told to go on to the next moment somebody waits for. */
export class VirtualClock implements Clock {
  wallMs: number
  private passedMs = 0
  private readonly timers = new Set<Timer>()

  constructor(wallMs: number) {
    this.wallMs = wallMs
  }

  nowMs(): number {
    return Math.floor(this.wallMs)
  }

  monotonicMs(): number {
    return this.passedMs
  }

  sleep(spanMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.timers.delete(timer)
        reject(signal!.reason as Error)
      }
      const timer: Timer = {
        atMs: this.passedMs + spanMs,
        resolve: () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        },
      }
      this.timers.add(timer)
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  /** Goes to the next moment somebody waits for, within `spanMs`; false when nobody does. */
  next(spanMs = Number.POSITIVE_INFINITY): boolean {
    const earliest = [...this.timers].reduce<Timer | null>((first, timer) => (first === null || timer.atMs < first.atMs ? timer : first), null)
    if (earliest === null || earliest.atMs > this.passedMs + spanMs) return false
    this.pass(Math.max(0, earliest.atMs - this.passedMs))
    this.timers.delete(earliest)
    earliest.resolve()
    return true
  }

  pass(spanMs: number): void {
    this.passedMs += spanMs
    this.wallMs += spanMs
  }

  /** Forgets who waits: their process is gone. */
  forgetTimers(): void {
    this.timers.clear()
  }

  /** Lets time go on until something holds; throws when it does not within so many moments. */
  async until(holds: () => boolean, what: string, momentsMax = 5000): Promise<void> {
    for (let moments = 0; moments < momentsMax; moments++) {
      await settle()
      if (holds()) return
      this.next()
    }
    throw new Error(`it never came to be: ${what}`)
  }
}
