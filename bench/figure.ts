/** The middle of some measurements, and how far they lie apart. */
export type Spread = { median: number; min: number; max: number }

/** What one case of a benchmark has shown: ours, its floor from the same run, and what one is to the other. */
export type Figure = {
  bench: string
  /** The case: sizes, broker, window. */
  name: string
  unit: string
  ours: Spread
  floor: Spread
  /** Ours ÷ floor, formed within each repetition. */
  ratio: Spread
  aim: Aim | null
  repetitions: number
}
/** Of the ratio, or with `ours` of our own median in the figure's unit. */
export type Aim = { atMost: number } | { atLeast: number } | { oursAtMost: number }

export type BenchOptions = { quick: boolean; say(line: string): void }
export type Bench = { name: string; about: string; run(options: BenchOptions): Promise<Figure[]> }

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}

/** A figure from pairs that were measured side by side. */
export function figureOf(head: Pick<Figure, 'bench' | 'name' | 'unit' | 'aim'>, pairs: readonly { ours: number; floor: number }[]): Figure {
  return {
    ...head,
    ours: spreadOf(pairs.map((pair) => pair.ours)),
    floor: spreadOf(pairs.map((pair) => pair.floor)),
    ratio: spreadOf(pairs.map((pair) => pair.ours / pair.floor)),
    repetitions: pairs.length,
  }
}

export function meetsAim({ aim, ratio, ours }: Figure): boolean | null {
  if (aim === null) return null
  if ('oursAtMost' in aim) return ours.median <= aim.oursAtMost
  return 'atMost' in aim ? ratio.median <= aim.atMost : ratio.median >= aim.atLeast
}
