/** A bell between loops: one waits, others ring. A ring that nobody waits for is kept, so none is missed. */
export interface Wake {
  ring(): void
  /** Resolves at the next ring, or rejects with the signal's reason. */
  wait(signal: AbortSignal): Promise<void>
}

export function createWake(): Wake {
  let rung = false
  let waiting: (() => void) | null = null
  return {
    ring() {
      rung = true
      waiting?.()
    },
    async wait(signal) {
      signal.throwIfAborted()
      if (!rung) {
        let own: (() => void) | null = null
        await new Promise<void>((resolve, reject) => {
          const stop = (): void => reject(signal.reason as Error)
          signal.addEventListener('abort', stop, { once: true })
          own = waiting = () => {
            signal.removeEventListener('abort', stop)
            resolve()
          }
        }).finally(() => {
          // one that was aborted may end when the next already waits
          if (waiting === own) waiting = null
        })
      }
      rung = false
    },
  }
}
