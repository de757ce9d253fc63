import type { Installation, ReachedPart } from './host.ts'

export type InstallationFacts = Pick<Installation, 'directory' | 'running' | 'trialS' | 'restart'>

/** An installation whose process has reached nobody yet. */
export function createInstallation(facts: InstallationFacts): Installation {
  const missing = new Set<ReachedPart>(['broker', 'controller'])
  let arrived: () => void = () => undefined
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve
  })
  return {
    ...facts,
    reached(part) {
      missing.delete(part)
      if (missing.size === 0) arrived()
    },
    hasReportedIn: (signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted()
        const stop = (): void => reject(signal.reason as Error)
        signal.addEventListener('abort', stop, { once: true })
        void arrival.then(() => {
          signal.removeEventListener('abort', stop)
          resolve()
        })
      }),
  }
}
