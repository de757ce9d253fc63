/** A Ctrl-C reaches a process through its terminal and through whoever started it: within this time they are one. */
const sameMs = 700
const hardExitStatus = 130

/** Runs `stop` at the first SIGINT or SIGTERM and then ends the process; a second one ends it at once. */
export function stopOnSignals(stop: () => Promise<void>): void {
  let firstMs: number | null = null
  const handle = (): void => {
    if (firstMs !== null) {
      if (performance.now() - firstMs > sameMs) process.exit(hardExitStatus)
      return
    }
    firstMs = performance.now()
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
}
