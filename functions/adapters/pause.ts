/** Resolves after `spanMs`, or as soon as the signal comes. */
export function pause(spanMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, spanMs)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
