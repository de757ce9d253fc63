/** Does `work` for each item, at most `parallelMax` at a time. After a failure nothing new begins; what runs is waited for. */
export async function inParallel<T>(items: readonly T[], parallelMax: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const go = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(parallelMax, items.length) }, () => go().catch((error: unknown) => {
    waiting.length = 0
    throw error
  })))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
