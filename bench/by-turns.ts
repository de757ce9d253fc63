type Side = () => Promise<number>

/**
 * Measures two sides by turns, so that whatever else the machine does meets both: once each as a warm-up that does not
 * count, then `repetitions` pairs, each side first every other time.
 */
export async function byTurns(repetitions: number, ours: Side, floor: Side): Promise<{ ours: number; floor: number }[]> {
  await ours()
  await floor()
  const pairs: { ours: number; floor: number }[] = []
  for (let i = 0; i < repetitions; i++) {
    if (i % 2 === 0) {
      const first = await ours()
      pairs.push({ ours: first, floor: await floor() })
    } else {
      const first = await floor()
      pairs.push({ floor: first, ours: await ours() })
    }
  }
  return pairs
}

/** Milliseconds that some work takes. */
export async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}
