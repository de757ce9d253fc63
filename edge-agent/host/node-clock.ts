import type { Clock } from './host.ts'

/** Longer delays overflow the runtime's timer and would fire at once. */
const timerMsMax = 2 ** 31 - 1

function pause(spanMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }, spanMs)
    signal?.addEventListener('abort', aborted, { once: true })
  })
}

/** The machine's own clocks. */
export const nodeClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(spanMs, signal) {
    signal?.throwIfAborted()
    let leftMs = spanMs
    do {
      await pause(Math.min(leftMs, timerMsMax), signal)
      leftMs -= timerMsMax
    } while (leftMs > 0)
  },
}
